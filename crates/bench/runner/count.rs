//! Counts instead of times: user-space instructions by valgrind, system calls by
//! strace. A server is started twice, with twice the work in the second run; the
//! difference is the work's alone, without the start and the end.

use std::net::SocketAddr;

use bench::start::Work;

use crate::contestants::Contestant;
use crate::server::{Server, Under};
use crate::tools::Profile;
use crate::{Context, Result};

/// Counts per unit of work. `run` does so many units, or a few more, and says
/// how many.
pub fn per_unit(
    context: &Context,
    under: Under,
    contestant: &Contestant,
    work: Work,
    profile: Profile,
    units: u64,
    run: impl Fn(SocketAddr, u64) -> Result<u64>,
) -> Result<f64> {
    let count = |units| -> Result<(u64, u64)> {
        let server = Server::start_under(context, contestant, work, profile, under)?;
        let done = run(server.address(), units)?;
        let log = server.finish()?;
        let count = match under {
            Under::Valgrind => instructions(&log),
            Under::Strace => calls(&log),
            Under::Nothing => None,
        };
        Ok((
            done,
            count.ok_or_else(|| format!("nothing counted: {log}"))?,
        ))
    };
    let (less, more) = (count(units)?, count(2 * units)?);
    Ok((more.1 as f64 - less.1 as f64) / (more.0 - less.0) as f64)
}

/// Of cachegrind's summary: `==1== I   refs:      1,234,567`.
fn instructions(log: &str) -> Option<u64> {
    log.lines().find_map(|line| {
        let (head, count) = line.split_once("refs:")?;
        let is_total = head.split_whitespace().last() == Some("I");
        is_total.then(|| count.trim().replace(',', "").parse().ok())?
    })
}

/// Of strace's table: the sum of the fourth column, `calls`.
fn calls(log: &str) -> Option<u64> {
    let rows = log
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let calls: Vec<u64> = rows
        .filter(|row| row.last() != Some(&"total"))
        .filter_map(|row| row.get(3)?.parse().ok())
        .collect();
    (!calls.is_empty()).then(|| calls.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_instructions_is_found_in_both_spellings() {
        let old = "==7== I   refs:      29,543,117\n";
        let new = "==7== I refs:        29,543,117\n";
        assert_eq!(instructions(old), Some(29_543_117));
        assert_eq!(instructions(new), Some(29_543_117));
        assert_eq!(instructions("==7== Command: ./server\n"), None);
    }

    #[test]
    fn calls_with_and_without_errors_are_summed() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000012           1        10         2 read
 40.00    0.000008           1         7           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000020           1        17         2 total
";
        assert_eq!(calls(table), Some(17));
    }
}
