//! Who takes part, in which work, and how it is started.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use bench::start::Work;

use crate::tools::{self, Profile, Tools, crate_folder, find};

pub const OURS: &str = "ours";
pub const EPOLL: &str = "raw epoll";
pub const POLLING: &str = "raw polling";
pub const MIO: &str = "raw mio";
pub const TOKIO: &str = "tokio";
pub const REDIS: &str = "redis pub/sub";
pub const NATS: &str = "nats-server";
pub const NGINX: &str = "nginx";
pub const HYPER: &str = "hyper";
pub const TOKIO_RUSTLS: &str = "tokio-rustls";

#[derive(Debug)]
pub struct Contestant {
    pub name: &'static str,
    pub works: &'static [Work],
    kind: Kind,
    /// Compiled ahead of time, without a collector: what user-space
    /// instructions are worth counting of.
    pub is_counted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A program of this package, and a further argument.
    Rust(&'static str, &'static str),
    /// `examples/http`.
    Example,
    Libevent,
    /// libevent with OpenSSL.
    LibeventOpenssl,
    /// A script, the module that it needs, and a further argument.
    Python(&'static str, &'static str, &'static str),
    Redis,
    Nats,
    Nginx,
}

const LINES: &[Work] = &[Work::Echo, Work::Room];
const SOCKETS: &[Work] = &[Work::Echo, Work::Bulk, Work::Room];
const BODIES: &[Work] = &[Work::Echo, Work::Bulk, Work::Room, Work::Store];
const ALL_WORKS: &[Work] = &[
    Work::Echo,
    Work::Bulk,
    Work::Room,
    Work::Plaintext,
    Work::Store,
];
const OUR_WORKS: &[Work] = &[
    Work::Echo,
    Work::Bulk,
    Work::Room,
    Work::Store,
    Work::Secure,
];

/// In the order of the tables.
pub const ALL: [Contestant; 18] = [
    Contestant::counted(EPOLL, ALL_WORKS, Kind::Rust("server-epoll", "")),
    Contestant::counted(POLLING, SOCKETS, Kind::Rust("server-polling", "")),
    Contestant::counted(MIO, SOCKETS, Kind::Rust("server-mio", "")),
    Contestant::counted(OURS, OUR_WORKS, Kind::Rust("server-ours", "")),
    Contestant::counted("calloop", SOCKETS, Kind::Rust("server-calloop", "")),
    Contestant::counted(
        "tokio LinesCodec",
        &[Work::Echo],
        Kind::Rust("server-tokio", "codec"),
    ),
    Contestant::counted(TOKIO, BODIES, Kind::Rust("server-tokio", "")),
    Contestant::counted("libevent", SOCKETS, Kind::Libevent),
    Contestant::counted(
        TOKIO_RUSTLS,
        &[Work::Secure],
        Kind::Rust("server-tokio-rustls", ""),
    ),
    Contestant::counted("libevent OpenSSL", &[Work::Secure], Kind::LibeventOpenssl),
    Contestant::timed(
        "uvloop",
        SOCKETS,
        Kind::Python("asyncio_server.py", "uvloop", "uvloop"),
    ),
    Contestant::timed(
        "asyncio",
        SOCKETS,
        Kind::Python("asyncio_server.py", "asyncio", "asyncio"),
    ),
    Contestant::timed(
        "asynchat",
        LINES,
        Kind::Python("asynchat_server.py", "asynchat", ""),
    ),
    Contestant::timed(
        "Twisted",
        LINES,
        Kind::Python("twisted_server.py", "twisted", ""),
    ),
    Contestant::timed(REDIS, &[Work::Room], Kind::Redis),
    Contestant::timed(NATS, &[Work::Room], Kind::Nats),
    Contestant::timed(NGINX, &[Work::Plaintext], Kind::Nginx),
    Contestant::timed(HYPER, &[Work::Plaintext], Kind::Rust("server-hyper", "")),
];

/// Ours, as a web server.
pub const OUR_HTTP: Contestant = Contestant::timed(OURS, &[Work::Plaintext], Kind::Example);

/// Ours, beside those with more and with fewer limits.
pub const OURS_AS_IT_IS: Contestant =
    Contestant::counted("the defaults", &[Work::Echo], Kind::Rust("server-ours", ""));
pub const GUARDED: Contestant = Contestant::counted(
    "all on",
    &[Work::Echo],
    Kind::Rust("server-ours", "guarded"),
);
pub const BARE: Contestant =
    Contestant::counted("all off", &[Work::Echo], Kind::Rust("server-ours", "bare"));

pub fn is_reference(name: &str) -> bool {
    [EPOLL, POLLING, MIO].contains(&name)
}

/// How to start a server.
#[derive(Debug)]
pub struct Launch {
    pub command: Command,
    /// Where it will listen, if that is said beforehand. Otherwise its first
    /// line says so.
    pub port: Option<u16>,
}

impl Contestant {
    const fn counted(name: &'static str, works: &'static [Work], kind: Kind) -> Self {
        Self {
            name,
            works,
            kind,
            is_counted: true,
        }
    }

    const fn timed(name: &'static str, works: &'static [Work], kind: Kind) -> Self {
        Self {
            name,
            works,
            kind,
            is_counted: false,
        }
    }

    pub fn is_rust(&self) -> bool {
        matches!(self.kind, Kind::Rust(..))
    }

    /// A loop written by hand for just this work: what the others are seen
    /// beside, and nothing that a user would pick instead of a library.
    pub fn is_reference(&self) -> bool {
        is_reference(self.name)
    }

    /// How to start it, or why it cannot be.
    pub fn launch(&self, work: Work, profile: Profile, tools: &Tools) -> Result<Launch, String> {
        let named = |command| Launch {
            command,
            port: None,
        };
        Ok(match self.kind {
            Kind::Rust(name, variant) => {
                let mut command = Command::new(tools.binary(name, profile)?);
                command.arg(work.name());
                if work == Work::Secure {
                    command.args(tools.certificate().files());
                }
                if !variant.is_empty() {
                    command.arg(variant);
                }
                named(command)
            }
            Kind::Example => {
                let mut command = Command::new(tools.binary("http", profile)?);
                command
                    .args(["--listen", "127.0.0.1:0", "--root"])
                    .arg(tools.scratch())
                    .env("RUST_LOG", "off");
                named(command)
            }
            Kind::Libevent => {
                let mut command = Command::new(tools.libevent()?);
                command.arg(work.name());
                named(command)
            }
            Kind::LibeventOpenssl => {
                let mut command = Command::new(tools.libevent_openssl()?);
                command.arg(work.name()).args(tools.certificate().files());
                named(command)
            }
            Kind::Python(script, module, variant) => {
                let mut command = Command::new(tools.python(module)?);
                command
                    .args(["-W", "ignore"])
                    .arg(crate_folder().join("servers").join(script))
                    .args([work.name(), variant]);
                named(command)
            }
            Kind::Redis => {
                let port = free_port()?;
                let mut command = Command::new(find("redis-server")?);
                command
                    .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                    .args(["--save", "", "--appendonly", "no"])
                    .args(["--latency-tracking", "no", "--tcp-keepalive", "0", "--dir"])
                    .arg(tools.scratch());
                Launch {
                    command,
                    port: Some(port),
                }
            }
            Kind::Nats => {
                let port = free_port()?;
                let program = find("nats-server")?;
                let config = format!("listen: \"127.0.0.1:{port}\"\nping_interval: \"1h\"\n");
                let file = write_config(tools, "nats.conf", &config)?;
                let mut command = Command::new(program);
                // Its memory is small: the collector need not run so often.
                command.env("GOGC", "400").arg("-c").arg(file);
                Launch {
                    command,
                    port: Some(port),
                }
            }
            Kind::Nginx => {
                let port = free_port()?;
                let program = find("nginx")?;
                let file = write_config(tools, "nginx.conf", &nginx_config(port))?;
                let mut command = Command::new(program);
                command.arg("-p").arg(tools.scratch()).arg("-c").arg(file);
                Launch {
                    command,
                    port: Some(port),
                }
            }
        })
    }

    /// What it is, with its version, for the report.
    pub fn version(&self, tools: &Tools) -> Option<String> {
        let (program, argument) = match self.kind {
            Kind::Rust(..) | Kind::Example | Kind::Libevent => return None,
            Kind::LibeventOpenssl => ("openssl", "version"),
            Kind::Python(_, module, _) => {
                let python = tools.python(module).ok()?;
                let code = format!(
                    "import sys, {module} as m; \
                     print(sys.version.split()[0], getattr(m, '__version__', ''))"
                );
                let version = tools::first_line(&python, &["-W", "ignore", "-c", &code])?;
                return Some(format!("CPython {version}"));
            }
            Kind::Redis => ("redis-server", "--version"),
            Kind::Nats => ("nats-server", "--version"),
            Kind::Nginx => ("nginx", "-v"),
        };
        tools::first_line(&find(program).ok()?, &[argument])
    }
}

/// One process, no log, and as many requests on a connection as come.
fn nginx_config(port: u16) -> String {
    format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid;
error_log stderr crit;
events {{ use epoll; multi_accept on; worker_connections 4096; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_requests 1000000000;
  client_body_temp_path nginx-body; proxy_temp_path nginx-proxy;
  fastcgi_temp_path nginx-fastcgi; uwsgi_temp_path nginx-uwsgi; scgi_temp_path nginx-scgi;
  server {{
    listen 127.0.0.1:{port};
    location = /plaintext {{ default_type text/plain; return 200 \"Hello, World!\"; }}
  }}
}}
"
    )
}

fn write_config(tools: &Tools, name: &str, text: &str) -> Result<std::path::PathBuf, String> {
    let file = tools.scratch().join(name);
    fs::write(&file, text).map_err(|error| error.to_string())?;
    Ok(file)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok(address.port())
}
