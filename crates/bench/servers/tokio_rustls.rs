//! tokio-rustls on one thread, a task for each connection. Lines are looked for in rustls' own
//! plaintext (`AsyncBufRead`), without a copy into a buffer; only what begins a line is kept.
//! One write answers all lines of a record.

use std::io;
use std::sync::Arc;

use bench::start::{self, Work};
use memchr::memchr;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls};

const MAX_LINE: usize = 65_536;

async fn echo(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let (mut partial, mut output) = (Vec::new(), Vec::new());
    loop {
        let input = stream.fill_buf().await?;
        let len = input.len();
        if len == 0 {
            return stream.shutdown().await;
        }
        lines(&mut partial, input, &mut output)?;
        stream.consume(len);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            stream.flush().await?;
            output.clear();
        }
    }
}

/// Appends the whole lines of `input` to `output`.
fn lines(partial: &mut Vec<u8>, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    while let Some(at) = memchr(b'\n', input) {
        output.append(partial);
        output.extend_from_slice(&input[..at]);
        output.push(b'\n');
        input = &input[at + 1..];
    }
    if partial.len() + input.len() > MAX_LINE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    partial.extend_from_slice(input);
    Ok(())
}

fn acceptor(arguments: &[String]) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let [certificate, key] = start::certificate(arguments);
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(acceptor: TlsAcceptor) -> io::Result<()> {
    let listener = TcpListener::from_std(start::listen()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::task::spawn(async { drop(echo(stream, acceptor).await) });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (work, arguments) = start::work();
    if work != Work::Secure {
        start::refuse(work);
    }
    let acceptor = acceptor(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    Ok(runtime.block_on(serve(acceptor))?)
}
