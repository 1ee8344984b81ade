//! The command line.

use std::path::PathBuf;
use std::process;

use crate::tools::crate_folder;

pub const USAGE: &str = "\
usage: bench [OPTION]...
  --quick            fewer rounds, shorter runs: does it work, not how fast
  --only ROW         only this row (may be given several times); see --list
  --contestant NAME  only this contestant, and ours (may be given several times)
  --verify           only check that every server does the work
  --no-lto           leave out the servers built with fat LTO
  --write            write docs/performance.md and its charts
  --write-to DIR     write them there
  --list             list the rows and the contestants
  --verbose          let the servers write to the terminal";

#[derive(Debug, Default)]
pub struct Options {
    pub is_quick: bool,
    pub only: Vec<String>,
    pub contestants: Vec<String>,
    pub verify_only: bool,
    pub no_lto: bool,
    /// The folder of performance.md.
    pub write_to: Option<PathBuf>,
    pub list: bool,
    pub verbose: bool,
}

impl Options {
    /// Exits with the usage when asked for help or given something else.
    pub fn from_env() -> Self {
        match Self::parse() {
            Ok(Some(options)) => options,
            Ok(None) => {
                println!("{USAGE}");
                process::exit(0);
            }
            Err(error) => {
                eprintln!("{error}\n{USAGE}");
                process::exit(2);
            }
        }
    }

    fn parse() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt};

        let mut options = Self::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("quick") => options.is_quick = true,
                Long("only") => options.only.push(arguments.value()?.string()?),
                Long("contestant") => options.contestants.push(arguments.value()?.string()?),
                Long("verify") => options.verify_only = true,
                Long("no-lto") => options.no_lto = true,
                Long("write") => options.write_to = Some(crate_folder().join("../../docs")),
                Long("write-to") => options.write_to = Some(arguments.value()?.into()),
                Long("list") => options.list = true,
                Long("verbose") => options.verbose = true,
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(options))
    }

    /// Whether a row or contestant is asked for.
    pub fn wants_row(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }

    pub fn wants_contestant(&self, name: &str) -> bool {
        self.contestants.is_empty()
            || name == crate::contestants::OURS
            || self.contestants.iter().any(|wanted| wanted == name)
    }
}
