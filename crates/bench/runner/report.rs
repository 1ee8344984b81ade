//! The tables, on the terminal and in docs/performance.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::rows::{Bound, Rival, Table};
use crate::tools::{find, first_line};
use crate::{Context, Result, chart, contestants, verify};

/// What the document says before its first table.
const INTRODUCTION: &str = include_str!("introduction.md");

/// Why a rival is ahead, by row and rival.
const REASONS: &str = include_str!("reasons.md");

/// A rival that is ahead by less needs no reason: another run may turn it round.
const NEAR: f64 = 1.05;

pub fn to_terminal(table: &Table) -> String {
    let seconds = table.time.as_secs();
    let mut text = format!("\n{} [{}, {seconds} s]\n", table.title, table.id);
    let width = |column: usize| {
        let cells = table.lines.iter().chain([&table.head]);
        cells
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..table.head.len()).map(width).collect();
    for line in [&table.head].into_iter().chain(&table.lines) {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            // Names to the left, numbers to the right.
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    for bar in bars(table) {
        let _ = writeln!(text, "  {}", bar.join("  "));
    }
    for sentence in sentences(table) {
        let _ = writeln!(text, "  {sentence}");
    }
    for note in &table.notes {
        let _ = writeln!(text, "  left out: {note}");
    }
    text
}

/// What, its value, its bar, its aim, and whether it is met.
fn bars(table: &Table) -> Vec<[String; 5]> {
    let bound = |bound: Option<Bound>| match bound {
        None => String::new(),
        Some(Bound::AtMost(most)) => format!("≤ {}", number(most)),
        Some(Bound::AtLeast(least)) => format!("≥ {}", number(least)),
    };
    let bars = table.bars.iter().map(|bar| {
        let verdict = match (bar.must, bar.aim) {
            (Some(must), _) if !must.holds(bar.value) => "fail",
            (_, Some(aim)) if aim.holds(bar.value) => "pass, aim met",
            (Some(_), Some(_)) => "pass, aim missed",
            (None, Some(_)) => "aim missed",
            _ => "pass",
        };
        let must = bound(bar.must);
        [
            bar.what.clone(),
            number(bar.value),
            must,
            bound(bar.aim),
            verdict.to_owned(),
        ]
    });
    bars.collect()
}

/// Says of each figure who the best rival is, and if it is ahead by how much and
/// why.
fn sentences(table: &Table) -> Vec<String> {
    let sentences = table.rivals.iter().map(|Rival { what, name, ratio }| {
        let median = ratio.median;
        if median <= 1.0 {
            return format!(
                "{what}: no rival is ahead. The best is {name}; ours is {ratio} × its."
            );
        }
        let ahead = format!("{what}: {name} is ahead, ours is {ratio} × its.");
        match reason(table.id, name) {
            Some(reason) => format!("{ahead} {reason}"),
            None if median <= NEAR => ahead,
            None => format!("{ahead} Why that is so has not been found out."),
        }
    });
    sentences.collect()
}

/// Why a rival is ahead in a row, if somebody has written it down.
fn reason(row: &str, rival: &str) -> Option<String> {
    let heading = format!("{row}, {rival}\n");
    let sections = REASONS.split("\n## ").skip(1);
    let text = sections.filter_map(|section| section.strip_prefix(&heading));
    text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .next()
}

/// As many digits as are worth reading.
fn number(value: f64) -> String {
    let text = if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Writes performance.md, and the charts beside it.
pub fn write(
    context: &Context,
    folder: &Path,
    tables: &[Table],
    left_out: &[String],
    time: Duration,
) -> Result {
    let charts = folder.join("performance");
    fs::create_dir_all(&charts)?;
    let mut text = INTRODUCTION.to_owned();
    writeln!(text, "\n## The machine\n\n{}", machine(context, time))?;
    if !left_out.is_empty() {
        writeln!(
            text,
            "Left out, because they did not start or not do the work:\n"
        )?;
        left_out
            .iter()
            .try_for_each(|line| writeln!(text, "- {line}"))?;
        text.push('\n');
    }
    writeln!(
        text,
        "## Bars\n\n| row | figure | is | must be | aim | |\n|---|---|--:|--:|--:|---|"
    )?;
    for table in tables {
        for [what, is, must, aim, verdict] in bars(table) {
            writeln!(
                text,
                "| [{0}](#{0}) | {what} | {is} | {must} | {aim} | {verdict} |",
                table.id
            )?;
        }
    }
    for table in tables {
        writeln!(
            text,
            "\n## {}\n\n{}: {}\n",
            table.id, table.title, table.about
        )?;
        writeln!(text, "| {} |", table.head.join(" | "))?;
        writeln!(text, "|---|{}", "--:|".repeat(table.head.len() - 1))?;
        for line in &table.lines {
            let (name, cells) = line.split_first().ok_or("a line without a name")?;
            let name = match contestants::is_reference(name) {
                true => format!("*{name}*"),
                false => name.clone(),
            };
            writeln!(text, "| {name} | {} |", cells.join(" | "))?;
        }
        for sentence in sentences(table) {
            writeln!(text, "\n{sentence}")?;
        }
        for note in &table.notes {
            writeln!(text, "\nLeft out: {note}")?;
        }
        for drawn in table.charts.iter().filter(|chart| !chart.points.is_empty()) {
            let name = format!("{}-{}.svg", table.id, drawn.name);
            chart::write(drawn, &charts.join(&name))?;
            writeln!(text, "\n![{}](performance/{name})", drawn.axis)?;
        }
    }
    fs::write(folder.join("performance.md"), text)?;
    Ok(())
}

fn machine(context: &Context, time: Duration) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    let count = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text = format!(
        "{count} × {processor}; Linux {}. Server on processor {}, load on {}.{} Built in {} s, \
         measured in {} s.\n\n",
        kernel.trim(),
        context.cpus.server,
        context.cpus.load,
        if context.options.is_quick {
            " **A shortened run.**"
        } else {
            ""
        },
        context.tools.build_time.as_secs(),
        time.as_secs(),
    );
    let tools = [
        ("rustc", "--version"),
        ("cc", "--version"),
        ("valgrind", "--version"),
        ("strace", "--version"),
        ("wrk", "--version"),
    ];
    for (tool, argument) in tools {
        let version = find(tool)
            .ok()
            .and_then(|program| first_line(&program, &[argument]));
        let _ = writeln!(
            text,
            "- {tool}: {}",
            version.as_deref().unwrap_or("not there")
        );
    }
    let others = contestants::ALL.iter().chain(verify::web_servers().take(1));
    let mut seen = Vec::new();
    for contestant in others {
        let Some(version) = contestant.version(&context.tools) else {
            continue;
        };
        if !seen.contains(&contestant.name) {
            seen.push(contestant.name);
            let _ = writeln!(text, "- {}: {version}", contestant.name);
        }
    }
    text.push_str("\nThe contestants in Rust are of the versions in `crates/bench/Cargo.lock`.\n");
    text
}
