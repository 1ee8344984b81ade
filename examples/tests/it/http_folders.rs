//! The web server and folders: the way to them, and lists of what is in them.

#![cfg(target_os = "linux")] // for /proc

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::common::{Client, Server, example, run};
use crate::http::{Answer, Site};

/// All that is answered to one request.
fn ask(server: &Server, line: &str) -> Vec<u8> {
    let mut client = Client::connect(server.addr);
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    ));
    client.rest()
}

/// The status, and the body.
fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = ask(server, &format!("GET {path}"));
    let answer = Answer::take(&mut &answer[..], false).expect("an answer");
    (
        answer.status,
        String::from_utf8_lossy(answer.body).into_owned(),
    )
}

#[test]
fn a_folder_without_its_slash_is_sent_there() {
    let site = Site::new("redirects");
    for folder in ["a b:c", "\u{e9}", "docs\r\nA: b", "odd/index.html"] {
        fs::create_dir_all(site.root.join(folder)).expect("a folder can be made");
    }
    let server = site.serve();
    for (path, location) in [
        ("/docs", Some("/docs/")),
        ("/docs?a=/b&c=%2F", Some("/docs/?a=/b&c=%2F")),
        ("/docs?\u{e9}", Some("/docs/?%C3%A9")),
        ("/%64ocs", Some("/docs/")),
        ("/docs/.", Some("/docs/")),
        ("/.", Some("/")),
        ("/a%20b:c", Some("/a%20b%3Ac/")),
        ("/\u{e9}", Some("/%C3%A9/")),
        ("/docs%0d%0aA:%20b", Some("/docs%0D%0AA%3A%20b/")),
        // Not the host of that name.
        ("//docs", Some("/docs/")),
        ("http://b/docs", Some("/docs/")),
        ("http://b//docs", Some("/docs/")),
        // What is no folder, or not within the root.
        ("/docs/", None),
        ("/odd/", None),
        ("/a.txt", None),
        ("/no", None),
        ("/parent", None),
        ("/slash", None),
        ("/docs/..", None),
    ] {
        for (method, is_head) in [("GET", false), ("HEAD", true)] {
            let answer = ask(&server, &format!("{method} {path}"));
            let answer = Answer::take(&mut &answer[..], is_head).expect("an answer");
            assert_eq!(answer.field("Location"), location, "{method} {path}");
            assert_eq!(answer.status == 301, location.is_some(), "{method} {path}");
        }
    }
}

#[test]
fn a_folder_is_listed_if_that_is_asked_for_and_it_has_no_index() {
    let site = Site::new("lists");
    let bare = site.root.join("bare");
    for name in [
        &b"b & <i>.txt"[..],
        b"a \"quoted\" 'one'",
        b"javascript:alert(1)",
        b"100%?#",
        b"\xff.txt",
    ] {
        fs::write(bare.join(OsStr::from_bytes(name)), name).expect("a file can be made");
    }
    fs::create_dir(bare.join("sub")).expect("a folder can be made");
    assert_eq!(get(&site.serve(), "/bare/").0, 404, "off by default");

    let server = Server::start_with("http", &["--root", site.root(), "--list", "on"]);
    let (status, page) = get(&server, "/bare/");
    let links: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("<li>"))
        .collect();
    assert_eq!(status, 200);
    assert_eq!(
        links,
        [
            "<a href=\"../\">../</a>",
            "<a href=\"100%25%3F%23\">100%?#</a>",
            "<a href=\"a%20%22quoted%22%20%27one%27\">a &quot;quoted&quot; &#39;one&#39;</a>",
            "<a href=\"b%20%26%20%3Ci%3E.txt\">b &amp; &lt;i&gt;.txt</a>",
            "<a href=\"javascript%3Aalert%281%29\">javascript:alert(1)</a>",
            "<a href=\"sub/\">sub/</a>",
            "<a href=\"%FF.txt\">\u{fffd}.txt</a>",
        ]
    );
    for link in &links[1..] {
        let link = link.split('"').nth(1).expect("a link");
        assert_eq!(get(&server, &format!("/bare/{link}")).0, 200, "{link}");
    }
    let whole = ask(&server, "GET /bare/");
    let head = ask(&server, "HEAD /bare/");
    assert!(whole.starts_with(&head[..head.len() - 2]) && head.len() < whole.len());
    // What is no folder, or not within the root, is not listed, nor is one with an index.
    assert_eq!(get(&server, "/docs/"), (200, "<p>docs</p>".to_owned()));
    for path in ["/no/", "/a.txt/", "/parent/", "/slash/", "/../", "/loop/"] {
        assert_eq!(get(&server, path).0, 404, "{path}");
    }
    let (_, page) = get(&server, "/bare/sub/?b");
    assert!(page.contains("<h1>/bare/sub/</h1>"), "{page}");
    fs::remove_file(site.root.join("index.html")).expect("it is there");
    let (_, page) = get(&server, "/");
    assert!(
        page.contains("href=\"docs/\"") && !page.contains("../"),
        "{page}"
    );
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let site = Site::new("long_lists");
    let server = Server::start_with("http", &["--root", site.root(), "--list", "on"]);
    let bare = site.root.join("bare");
    // One that is hidden, and 999 that are not.
    for number in 0..999 {
        fs::write(bare.join(number.to_string()), "").expect("a file can be made");
    }
    let (_, page) = get(&server, "/bare/");
    assert_eq!(page.matches("<li>").count(), 1_000, "with the way up");
    assert!(!page.contains("not all"), "{page}");
    fs::write(bare.join("one more"), "").expect("a file can be made");
    let (_, page) = get(&server, "/bare/");
    assert!((1_000..=1_001).contains(&page.matches("<li>").count()));
    assert!(page.contains("not all"), "{page}");
}

#[test]
fn whether_folders_are_listed_is_on_or_off() {
    let site = Site::new("no_list");
    let mut command = example("http");
    command.args(["--root", site.root(), "--list", "perhaps"]);
    let (status, stdout, stderr) = run(command);
    assert_eq!((status.code(), &stdout[..]), (Some(1), ""));
    assert!(stderr.contains("--list is on or off"), "{stderr}");
}

/// As mongrel2's #129: a site is built anew, or a symlink leads to its next version.
#[test]
fn a_root_that_another_folder_replaces_is_the_new_one() {
    let site = Site::new("replaced");
    let root = site.root.join("now");
    for version in ["one", "two"] {
        fs::create_dir(site.root.join(version)).expect("a folder can be made");
        fs::write(site.root.join(version).join("a.txt"), version).expect("so can a file");
    }
    symlink("one", &root).expect("so can a link");
    let root = root.to_str().expect("UTF-8");
    let server = Server::start_with("http", &["--root", root]);
    assert_eq!(get(&server, "/a.txt"), (200, "one".to_owned()));
    fs::remove_file(root).expect("it is there");
    assert_eq!(get(&server, "/a.txt").0, 404);
    symlink("two", root).expect("the name is free");
    assert_eq!(get(&server, "/a.txt"), (200, "two".to_owned()));
    fs::remove_file(root).expect("it is there");
    fs::rename(site.root.join("one"), root).expect("the name is free");
    assert_eq!(get(&server, "/a.txt"), (200, "one".to_owned()));
}
