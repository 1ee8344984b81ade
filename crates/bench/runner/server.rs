//! A server that runs: started on its processor, asked what it spends, ended.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bench::start::Work;

use crate::contestants::Contestant;
use crate::cpus::{self, cpu_time};
use crate::tools::{Profile, find};
use crate::{Context, Result};

/// For a start under valgrind.
const START_TIME: Duration = Duration::from_secs(60);

const END_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    under: Under,
    /// Where the tool that it runs under writes.
    log: PathBuf,
    /// Kept: a server that writes to nobody would be killed.
    _stdout: Option<BufReader<ChildStdout>>,
}

/// What counts the server's instructions or system calls, if anything does.
///
/// A server that is counted shares the load's processor and gives way to it: what
/// it finds when it looks does not depend on which of them is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    Nothing,
    Valgrind,
    Strace,
}

impl Under {
    /// The tool, or why there is none.
    pub fn find(self) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::Valgrind => find("valgrind").map(drop),
            Self::Strace => find("strace").map(drop),
        }
    }
}

impl Server {
    pub fn start(context: &Context, contestant: &Contestant, work: Work) -> Result<Self> {
        Self::start_under(context, contestant, work, Profile::Release, Under::Nothing)
    }

    pub fn start_under(
        context: &Context,
        contestant: &Contestant,
        work: Work,
        profile: Profile,
        under: Under,
    ) -> Result<Self> {
        let launch = contestant.launch(work, profile, &context.tools)?;
        let log = context.tools.scratch().join("tool.log");
        let mut command = wrap(launch.command, under, &log);
        let cpus = context.cpus;
        let prepare = move || {
            cpus::end_with_parent()?;
            match under {
                Under::Nothing => cpus::pin(cpus.server),
                _ => cpus::pin(cpus.load).and_then(|()| cpus::give_way()),
            }
        };
        // SAFETY: what is called allocates nothing and takes no locks.
        unsafe { command.pre_exec(prepare) };
        command.stdin(Stdio::null());
        command.stderr(match context.options.verbose {
            true => Stdio::inherit(),
            false => Stdio::null(),
        });
        command.stdout(match launch.port {
            Some(_) => Stdio::null(),
            None => Stdio::piped(),
        });
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        // From here on, dropping ends the process.
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], launch.port.unwrap_or(0))),
            under,
            log,
            _stdout: None,
        };
        match stdout {
            Some(stdout) => {
                let (address, stdout) = read_address(stdout)?;
                server.address = address;
                server._stdout = Some(stdout);
            }
            None => await_port(server.address)?,
        }
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time spent so far, once the server has come to rest: what it
    /// does after the last answer is work, too.
    pub fn cpu_time(&self) -> Result<Duration> {
        let deadline = Instant::now() + Duration::from_millis(100);
        let mut last = cpu_time(self.child.id())?;
        loop {
            thread::sleep(Duration::from_millis(1));
            let time = cpu_time(self.child.id())?;
            if time == last || Instant::now() > deadline {
                return Ok(time);
            }
            last = time;
        }
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"))
            .ok_or("no Rss in smaps_rollup")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// Ends the server, and returns what the tool that it ran under wrote.
    pub fn finish(mut self) -> Result<String> {
        self.end();
        Ok(fs::read_to_string(&self.log)?)
    }

    fn end(&mut self) {
        let pid = match self.under {
            // strace ends when what it traces does.
            Under::Strace => first_child(self.child.id()).unwrap_or(self.child.id()),
            _ => self.child.id(),
        };
        let deadline = Instant::now() + END_TIME;
        // What fails here is a process that has ended by itself.
        let _ = cpus::kill(pid, libc::SIGTERM);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = cpus::kill(pid, libc::SIGKILL);
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn wrap(command: Command, under: Under, log: &std::path::Path) -> Command {
    let mut wrapped = match under {
        Under::Nothing => return command,
        Under::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind
                .args(["--tool=cachegrind", "--cache-sim=no"])
                .args(["--cachegrind-out-file=/dev/null"])
                .arg(format!("--log-file={}", log.display()));
            valgrind
        }
        Under::Strace => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-c", "-o"]).arg(log);
            strace
        }
    };
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped
}

fn first_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Reads `listening on IP:PORT`.
fn read_address(stdout: ChildStdout) -> Result<(SocketAddr, BufReader<ChildStdout>)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let result = stdout.read_line(&mut line).map(|_| (line, stdout));
        // Nobody listens any more if it came too late.
        let _ = sender.send(result);
    });
    let (line, stdout) = receiver
        .recv_timeout(START_TIME)
        .map_err(|_| "the server did not start in time")??;
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .ok_or("the server did not start (--verbose shows why)")?;
    Ok((address.parse()?, stdout))
}

/// Waits until somebody listens.
fn await_port(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + START_TIME;
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}
