//! Paths: files, folders, escapes, and what is outside the root.

use super::{Case, closed, open};

/// What is asked for, and what comes.
const PATHS: &[(&str, &[&str])] = &[
    ("/", &["200 <p>index</p>"]),
    ("/index.html", &["200 <p>index</p>"]),
    ("/a.txt", &["200 a text\n"]),
    ("/empty.txt", &["200 "]),
    ("/a.txt?b=/../c", &["200 a text\n"]),
    ("/docs/", &["200 <p>docs</p>"]),
    ("/docs/index.html", &["200 <p>docs</p>"]),
    ("/bare/.hidden", &["200 hidden\n"]),
    ("/no.txt", &["404"]),
    // Folders.
    ("/docs", &["301"]),
    ("/bare/", &["404"]),
    ("/bare", &["301"]),
    ("/a.txt/", &["404"]),
    ("/a.txt/index.html", &["404"]),
    // Escapes.
    ("/a%20b.txt", &["200 spaced\n"]),
    ("/%61%2Etxt", &["200 a text\n"]),
    ("/%61%2etxt", &["200 a text\n"]),
    ("/100%25.txt", &["200 percent\n"]),
    ("/100%2525.txt", &["404"]),
    ("/a.txt%", &["404"]),
    ("/a.txt%2", &["404"]),
    ("/%zz", &["404"]),
    ("/%ff", &["404"]),
    ("/a.txt%00", &["404"]),
    ("/a.txt%00.html", &["404"]),
    ("/a.txt%0a", &["404"]),
    ("/a.txt%3Fb", &["404"]),
    ("/docs%2findex.html", &["404"]),
    ("/docs%5cindex.html", &["404"]),
    // Slashes.
    ("//a.txt", &["200 a text\n"]),
    ("//docs//index.html", &["200 <p>docs</p>"]),
    ("//docs//", &["200 <p>docs</p>"]),
    ("/./a.txt", &["200 a text\n"]),
    ("//etc/passwd", &["404"]),
    ("/%2fetc/passwd", &["404"]),
    ("/%2fetc%2fpasswd", &["404"]),
    // Out of the root.
    ("/../secret.txt", &["404"]),
    ("/..", &["404"]),
    ("/../", &["404"]),
    ("/docs/../../secret.txt", &["404"]),
    ("/docs/../a.txt", &["404"]),
    ("/%2e%2e/secret.txt", &["404"]),
    ("/.%2E/secret.txt", &["404"]),
    ("/%2e%2e%2fsecret.txt", &["404"]),
    ("/..%2fsecret.txt", &["404"]),
    ("/..%5csecret.txt", &["404"]),
    ("/%252e%252e/secret.txt", &["404"]),
    ("/%c0%ae%c0%ae/secret.txt", &["404"]),
    ("/.../secret.txt", &["404"]),
    ("/..;/secret.txt", &["404"]),
    ("http://a/../secret.txt", &["404"]),
    // Links.
    ("/within", &["200 a text\n"]),
    ("/relative", &["404"]),
    ("/absolute", &["404"]),
    ("/parent/secret.txt", &["404"]),
    ("/slash/etc/passwd", &["404"]),
    ("/loop", &["404"]),
];

pub(crate) fn cases() -> Vec<Case> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut cases: Vec<Case> = PATHS
        .iter()
        .map(|&(path, answers)| open(path, get(path), answers))
        .collect();
    cases.push(closed("no slash", get("a.txt"), &["400"]));
    cases.push(closed("a backslash", get("\\a.txt"), &["400"]));
    cases.push(closed("an asterisk", get("*"), &["400"]));
    cases.push(closed("a fragment", get("/a.txt#b"), &["400"]));
    cases
}
