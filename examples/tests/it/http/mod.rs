//! What the tests of the web server share: a folder to serve, and answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::common::Server;

const DAY: Duration = Duration::from_secs(86_400);

/// A folder of this test's own, with what the tables ask for.
pub(crate) struct Site {
    /// Served.
    pub(crate) root: PathBuf,
    /// Holds the root, and what must not be served.
    outside: PathBuf,
}

impl Site {
    pub(crate) fn new(test: &str) -> Self {
        let outside = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        // Of the last time.
        let _ = fs::remove_dir_all(&outside);
        let root = outside.join("root");
        let site = Self { root, outside };
        fs::create_dir_all(site.root.join("docs")).expect("a folder can be made");
        fs::create_dir_all(site.root.join("bare")).expect("a folder can be made");
        for (path, text) in [
            ("index.html", "<p>index</p>"),
            ("docs/index.html", "<p>docs</p>"),
            ("a.txt", "a text\n"),
            ("a b.txt", "spaced\n"),
            ("100%.txt", "percent\n"),
            ("empty.txt", ""),
            ("bare/.hidden", "hidden\n"),
            ("../secret.txt", "secret\n"),
        ] {
            let path = site.root.join(path);
            fs::write(&path, text).expect("a file can be made");
            // The date of what has just been changed is not told.
            let file = File::options().write(true).open(path);
            let set = file.and_then(|file| file.set_modified(UNIX_EPOCH + DAY));
            set.expect("the system takes such a time");
        }
        for (target, link) in [
            ("../secret.txt", "relative"),
            ("..", "parent"),
            ("/", "slash"),
            ("a.txt", "within"),
            ("loop", "loop"),
        ] {
            let made = std::os::unix::fs::symlink(target, site.root.join(link));
            made.expect("a link can be made");
        }
        let absolute = site.outside.join("secret.txt");
        let made = std::os::unix::fs::symlink(absolute, site.root.join("absolute"));
        made.expect("a link can be made");
        site
    }

    /// A file of zeros that takes no room on the disk.
    pub(crate) fn sparse(&self, name: &str, len: u64) {
        let file = File::create(self.root.join(name)).expect("a file can be made");
        file.set_len(len).expect("it may have holes");
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start_with("http", &["--root", self.root()])
    }

    pub(crate) fn root(&self) -> &str {
        self.root.to_str().expect("the test's own name")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What stays is removed the next time.
        let _ = fs::remove_dir_all(&self.outside);
    }
}

/// One answer, taken from the front of what a server has sent.
#[derive(Debug)]
pub(crate) struct Answer<'d> {
    pub(crate) status: u16,
    fields: Vec<(&'d str, &'d str)>,
    pub(crate) body: &'d [u8],
}

impl<'d> Answer<'d> {
    /// `None` if it is not complete, or no answer. That to a `HEAD` has no body,
    /// nor has 304.
    pub(crate) fn take(data: &mut &'d [u8], is_head: bool) -> Option<Self> {
        let end = data.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, rest) = (&data[..end], &data[end + 4..]);
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let (status, reason) = lines.next()?.strip_prefix("HTTP/1.1 ")?.split_once(' ')?;
        let fields = lines.map(|line| line.split_once(": "));
        let mut answer = Self {
            status: status.parse().ok().filter(|_| !reason.is_empty())?,
            fields: fields.collect::<Option<_>>()?,
            body: &[],
        };
        *data = rest;
        if answer.status >= 200 && answer.status != 304 && !is_head {
            let len = answer.field("Content-Length")?.parse().ok()?;
            let (body, rest) = data.split_at_checked(len)?;
            answer.body = body;
            *data = rest;
        }
        Some(answer)
    }

    /// A field that is there once.
    pub(crate) fn field(&self, name: &str) -> Option<&'d str> {
        let mut values = self.fields.iter().filter(|field| field.0 == name);
        let value = values.next()?.1;
        values.next().is_none().then_some(value)
    }
}

/// All that was sent but for the lines of the date.
pub(crate) fn without_dates(data: &[u8]) -> String {
    let lines = data.split_inclusive(|&byte| byte == b'\n');
    let lines = lines.filter(|line| !line.starts_with(b"Date: "));
    lines.map(|line| line.escape_ascii().to_string()).collect()
}
