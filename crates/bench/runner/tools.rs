//! What there is on this machine, and what is built for the run.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::{Error, Result};

/// Found or built; or why not.
type Found = std::result::Result<PathBuf, String>;

#[derive(Debug)]
pub struct Tools {
    release: HashMap<String, PathBuf>,
    lto: HashMap<String, PathBuf>,
    libevent: Found,
    libevent_openssl: Found,
    certificate: Certificate,
    python: Found,
    /// Python's modules, asked for once.
    modules: HashMap<&'static str, bool>,
    scratch: Scratch,
    pub build_time: Duration,
}

/// The Python modules that contestants are made of.
pub const MODULES: [&str; 4] = ["asynchat", "asyncio", "uvloop", "twisted"];

/// How a server in Rust is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Release,
    Lto,
}

impl Tools {
    /// Builds the servers.
    pub fn prepare(with_lto: bool) -> Result<Self> {
        let began = Instant::now();
        let scratch = Scratch::new()?;
        let bench = crate_folder().join("Cargo.toml");
        let root = crate_folder().join("../../Cargo.toml");
        let mut release = build(&["--release", "--bins"], &bench)?;
        release.extend(build(&["--release", "--example", "http"], &root)?);
        let lto = match with_lto {
            true => {
                let servers = ["--no-default-features", "--features", "contestants"];
                build(
                    &[&["--profile", "lto", "--bins"][..], &servers].concat(),
                    &bench,
                )?
            }
            false => HashMap::new(),
        };
        let python =
            env::var_os("BENCH_PYTHON").map_or_else(|| find("python3"), |python| Ok(python.into()));
        let has_module = |&module: &&'static str| {
            let Ok(python) = &python else {
                return (module, false);
            };
            let import = format!("import {module}");
            (
                module,
                is_success(Command::new(python).args(["-W", "ignore", "-c", &import])),
            )
        };
        Ok(Self {
            release,
            lto,
            libevent: build_c(&scratch.0, "libevent", &["event"]),
            libevent_openssl: build_c(
                &scratch.0,
                "libevent_openssl",
                &["event", "event_openssl", "ssl", "crypto"],
            ),
            certificate: Certificate::make(&scratch.0)?,
            modules: MODULES.iter().map(has_module).collect(),
            python,
            scratch,
            build_time: began.elapsed(),
        })
    }

    /// A server in Rust.
    pub fn binary(&self, name: &str, profile: Profile) -> Found {
        let built = match profile {
            Profile::Release => &self.release,
            Profile::Lto => &self.lto,
        };
        built
            .get(name)
            .cloned()
            .ok_or_else(|| format!("{name} was not built"))
    }

    pub fn has_lto(&self) -> bool {
        !self.lto.is_empty()
    }

    pub fn libevent(&self) -> Found {
        self.libevent.clone()
    }

    pub fn libevent_openssl(&self) -> Found {
        self.libevent_openssl.clone()
    }

    /// The certificate of all servers that have one.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The interpreter, if it has the module.
    pub fn python(&self, module: &str) -> Found {
        match self.modules.get(module) {
            Some(true) => self.python.clone(),
            _ => Err(format!("no Python module {module}")),
        }
    }

    /// A folder for configurations and results, which goes with the run.
    pub fn scratch(&self) -> &Path {
        &self.scratch.0
    }
}

/// Finds a program; those of system administrators are not in everybody's
/// `PATH`.
pub fn find(name: &str) -> Found {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("no {name}"))
}

/// The folder of this package.
pub fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The first line that a command prints, on stdout or stderr.
pub fn first_line(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Some(
        text.lines()
            .find(|line| !line.trim().is_empty())?
            .trim()
            .to_owned(),
    )
}

/// Runs cargo, and returns the programs it has built, by name.
fn build(arguments: &[&str], manifest: &Path) -> Result<HashMap<String, PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .arg("build")
        .args(arguments)
        .args([
            "--locked",
            "--message-format=json-render-diagnostics",
            "--manifest-path",
        ])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(Error::from(format!(
            "cargo build {} failed",
            arguments.join(" ")
        )));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executables = messages.lines().filter_map(|message| {
        let (_, rest) = message.split_once("\"executable\":\"")?;
        let path = PathBuf::from(rest.split_once('"')?.0);
        Some((path.file_name()?.to_str()?.to_owned(), path))
    });
    Ok(executables.collect())
}

/// Builds `servers/NAME.c`, on these libraries.
fn build_c(scratch: &Path, name: &str, libraries: &[&str]) -> Found {
    let program = scratch.join(format!("server-{name}"));
    let source = crate_folder()
        .join("servers")
        .join(name)
        .with_extension("c");
    let compiler = find("cc")?;
    let mut command = Command::new(compiler);
    command.arg("-O2").arg(source);
    command.args(libraries.iter().map(|library| format!("-l{library}")));
    command.arg("-o").arg(&program);
    match is_success(&mut command) {
        true => Ok(program),
        false => Err(format!("not all of lib{}", libraries.join(", lib"))),
    }
}

fn is_success(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let folder = env::temp_dir().join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is the system's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}
