//! wrk, which is the load of the web servers.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::{Context, Result};

/// Sends `GET /plaintext` for so long on 64 connections, so many in one packet;
/// returns how many were answered.
pub fn run(
    context: &Context,
    address: SocketAddr,
    pipelined: usize,
    time: Duration,
) -> Result<u64> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", "64", "--duration"]);
    command.arg(format!("{}s", time.as_secs().max(1)));
    if pipelined > 1 {
        let script = context.tools.scratch().join("pipeline.lua");
        fs::write(&script, pipeline(pipelined))?;
        command.arg("--script").arg(script);
    }
    command.arg(format!("http://{address}/plaintext"));
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk saw errors: {text}").into());
    }
    let requests = text.lines().find_map(|line| {
        let (count, _) = line.trim().split_once(" requests in ")?;
        count.parse().ok()
    });
    requests.ok_or_else(|| format!("wrk: {text}").into())
}

fn pipeline(count: usize) -> String {
    format!(
        "local batch
init = function()
   local one = {{}}
   for i = 1, {count} do one[i] = wrk.format(nil, nil) end
   batch = table.concat(one)
end
request = function() return batch end
"
    )
}
