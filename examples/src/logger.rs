//! The log goes to standard error, by its [`Output`].

use std::io::{self, Write};

use chat::{ChannelMap, Remote, Result};

use crate::output::Output;

/// Installs the logger: `RUST_LOG`, by default `info`.
///
/// # Errors
///
/// As [`Output::insert`].
pub(crate) fn init(map: &mut ChannelMap) -> Result {
    let lines = Lines {
        output: Output::insert(io::stderr(), "standard error", map)?,
        remote: map.remote(),
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .target(env_logger::Target::Pipe(Box::new(lines)))
        .init();
    Ok(())
}

/// A line is logged wherever the program is, without the map; it is printed at the end of
/// the turn.
struct Lines {
    output: Output,
    remote: Remote,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (output, record) = (self.output, line.to_vec());
        // It fails if the map is gone: the line is lost.
        let _ = self.remote.run(move |map| {
            output.print(record, map);
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
