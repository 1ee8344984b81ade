//! Answers, by RFC 9112 and as strictly as can be: no field that is folded, repeated
//! or padded, nothing but CRLF at a line's end.

pub(super) struct Answer<'d> {
    pub(super) status: u16,
    fields: Vec<(&'d str, &'d str)>,
    pub(super) body: &'d [u8],
}

impl<'d> Answer<'d> {
    /// Takes one from the front of what was sent.
    pub(super) fn take(data: &mut &'d [u8], is_to_head: bool) -> Self {
        let end = memchr::memmem::find(data, b"\r\n\r\n");
        let (head, rest) = data.split_at(end.expect("a head that ends"));
        assert!(
            head.iter()
                .all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')),
            "a head of {}",
            head.escape_ascii()
        );
        let head = std::str::from_utf8(head).expect("it is ASCII");
        let mut lines = head.split("\r\n");
        let mut answer = Self {
            status: status(lines.next().unwrap_or_default()),
            fields: lines.map(field).collect(),
            body: &[],
        };
        for (nth, (name, _)) in answer.fields.iter().enumerate() {
            let mut before = answer.fields[..nth].iter();
            assert!(
                before.all(|(other, _)| !other.eq_ignore_ascii_case(name)),
                "{name} twice"
            );
        }
        *data = &rest[4..];
        match answer.status {
            ..200 => assert!(answer.fields.is_empty()),
            304 => assert!(answer.field("Content-Length").is_none()),
            _ => answer.take_body(data, is_to_head),
        }
        for (name, statuses) in [
            ("Allow", &[405][..]),
            ("Location", &[301]),
            ("Content-Range", &[206, 416]),
        ] {
            let is_due = statuses.contains(&answer.status);
            assert_eq!(answer.field(name).is_some(), is_due, "{name}");
        }
        answer
    }

    fn take_body(&mut self, data: &mut &'d [u8], is_to_head: bool) {
        assert_eq!(self.field("Transfer-Encoding"), None);
        let length = self.field("Content-Length").expect("a length");
        assert!(
            length.bytes().all(|byte| byte.is_ascii_digit()),
            "{length:?}"
        );
        let length: usize = length.parse().expect("a number");
        if !is_to_head {
            let (body, rest) = data.split_at_checked(length).expect("all of the body");
            self.body = body;
            *data = rest;
        }
        assert!(
            self.field("Date")
                .is_some_and(|date| date.ends_with(" GMT"))
        );
        assert!(
            self.field("Content-Type")
                .is_some_and(|it| it.contains('/'))
        );
    }

    pub(super) fn field(&self, name: &str) -> Option<&'d str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| field.0.eq_ignore_ascii_case(name));
        field.map(|&(_, value)| value)
    }
}

fn status(line: &str) -> u16 {
    let parts = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|line| line.split_once(' '));
    let (status, reason) = parts.unwrap_or_else(|| panic!("a status line: {line:?}"));
    assert!(status.len() == 3 && !reason.trim().is_empty() && !line.contains(['\r', '\n']));
    status.parse().expect("a status")
}

fn field(line: &str) -> (&str, &str) {
    let parts = line.split_once(": ");
    let (name, value) = parts.unwrap_or_else(|| panic!("a field: {line:?}"));
    let mut letters = name.bytes();
    assert!(letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !name.is_empty());
    assert!(!value.is_empty() && value.trim() == value && !value.contains(['\r', '\n']));
    (name, value)
}
