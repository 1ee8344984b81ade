//! The command line.

use std::io::{self, Write};
use std::process;

/// An option of a program's command line, `--NAME VALUE`.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Without the dashes.
    pub name: &'static str,
    /// The value's name in the usage, and its meaning.
    pub value: &'static str,
    /// `None`: the option must be given.
    pub default: Option<&'static str>,
}

impl Opt {
    /// `--listen ADDR`.
    pub const fn listen(default: &'static str) -> Self {
        Self {
            name: "listen",
            value: "ADDR  IP:PORT; port 0 asks for a free one",
            default: Some(default),
        }
    }
}

/// Reads the command line: the value of each option.
///
/// Prints the usage and exits when asked for help (status 0) or given
/// something else (status 2).
pub(crate) fn options<const N: usize>(known: [Opt; N]) -> [String; N] {
    match parse(lexopt::Parser::from_env(), &known) {
        Ok(Some(values)) => values,
        Ok(None) => match write!(io::stdout(), "options:\n{}", usage(&known)) {
            Ok(()) => process::exit(0),
            Err(_) => process::exit(1),
        },
        Err(error) => {
            // There is nowhere else to report a failure.
            let _ = write!(io::stderr(), "{error}\noptions:\n{}", usage(&known));
            process::exit(2);
        }
    }
}

fn parse<const N: usize>(
    mut arguments: lexopt::Parser,
    known: &[Opt; N],
) -> Result<Option<[String; N]>, lexopt::Error> {
    use lexopt::prelude::{Long, Short};

    let mut values = known.map(|option| option.default.map(str::to_owned));
    while let Some(argument) = arguments.next()? {
        let name = match argument {
            Long("help") | Short('h') => return Ok(None),
            Long(name) => name,
            other => return Err(other.unexpected()),
        };
        let Some(index) = known.iter().position(|option| option.name == name) else {
            return Err(argument.unexpected());
        };
        values[index] = Some(arguments.value()?.into_string()?);
    }
    if let Some(index) = values.iter().position(Option::is_none) {
        return Err(format!("missing option '--{}'", known[index].name).into());
    }
    Ok(Some(values.map(Option::unwrap_or_default)))
}

fn usage(known: &[Opt]) -> String {
    let line = |option: &Opt| match option.default {
        Some(default) => format!("  --{} {} (default {default})\n", option.name, option.value),
        None => format!("  --{} {}\n", option.name, option.value),
    };
    known.iter().map(line).collect()
}
