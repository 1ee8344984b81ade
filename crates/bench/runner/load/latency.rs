//! Clients that ask and await the answer, and how long each answer took.
//!
//! In the **closed** loop every client asks anew as soon as it is answered. In
//! the **open** loop questions come at times that were settled beforehand, at
//! random, and whether or not the server keeps up: a question that finds no client
//! free waits for one, and its latency counts from the time that was settled.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bench::epoll::{Epoll, Events, Interest};

use super::histogram::Histogram;
use super::{STEP, check, connect, deadline};
use crate::Result;

/// How one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A line of 32 bytes, which comes back.
    Lines,
    /// The same payload, by redis' `ECHO`.
    Redis,
    /// `GET /plaintext`.
    Http,
}

pub struct Clients {
    epoll: Epoll,
    clients: Vec<Client>,
    question: &'static [u8],
    /// Bytes of an answer; those of one server are of one length.
    answer: usize,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    asked: Instant,
    /// Bytes of the answer that have not come; 0 if nothing is asked.
    missing: usize,
}

impl Protocol {
    fn question(self) -> &'static [u8] {
        match self {
            Self::Lines => b"latency is what the others wait\n",
            Self::Redis => b"*2\r\n$4\r\nECHO\r\n$31\r\nlatency is what the others wait\r\n",
            Self::Http => b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
    }

    /// Asks once, checks the answer and returns its length.
    fn ask(self, stream: &mut TcpStream) -> Result<usize> {
        stream.write_all(self.question())?;
        let mut answer = Vec::new();
        let (begin, end): (&[u8], &[u8]) = match self {
            Self::Lines => (b"", b"latency is what the others wait\n"),
            Self::Redis => (b"$31\r\n", b"latency is what the others wait\r\n"),
            Self::Http => (b"HTTP/1.1 200 ", b"\r\n\r\nHello, World!"),
        };
        while !answer.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        match answer.starts_with(begin) {
            true => Ok(answer.len()),
            false => Err(format!("not an answer: {}", answer.escape_ascii()).into()),
        }
    }
}

impl Clients {
    pub fn connect(address: SocketAddr, protocol: Protocol, count: usize) -> Result<Self> {
        let epoll = Epoll::new()?;
        let mut clients = Vec::with_capacity(count);
        let mut answer = 0;
        for key in 0..count {
            let mut stream = connect(address)?;
            if (key + 1) % STEP == 0 || key + 1 == count {
                answer = protocol.ask(&mut stream)?;
            }
            stream.set_nonblocking(true)?;
            epoll.add(&stream, key, Interest::READ)?;
            clients.push(Client {
                stream,
                asked: Instant::now(),
                missing: 0,
            });
        }
        Ok(Self {
            epoll,
            clients,
            question: protocol.question(),
            answer,
            buffer: vec![0; 4096],
        })
    }

    /// Lasts for as long, and for as many answers as there are clients.
    pub fn closed(&mut self, time: Duration) -> Result<Histogram> {
        let mut histogram = Histogram::default();
        let (deadline, end) = (deadline(), Instant::now() + time);
        for key in 0..self.clients.len() {
            self.ask(key, Instant::now())?;
        }
        let mut asking = self.clients.len();
        let mut events = Events::default();
        while asking > 0 {
            check(deadline)?;
            self.epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
            for event in events.iter() {
                if !self.hear(event.key)? {
                    continue;
                }
                let now = Instant::now();
                // The last answers come when the others ask no more.
                if now < end || histogram.total() < self.clients.len() as u64 {
                    histogram.record(now - self.clients[event.key].asked);
                    self.ask(event.key, now)?;
                } else {
                    asking -= 1;
                }
            }
        }
        Ok(histogram)
    }

    /// Asks so often in a second. It does not sleep: no timer is as exact.
    pub fn open(&mut self, rate: f64, time: Duration) -> Result<Histogram> {
        let mut histogram = Histogram::default();
        let (deadline, begin) = (deadline(), Instant::now());
        let mut schedule = Schedule::new(rate);
        let mut next = schedule.next();
        let mut due = VecDeque::new();
        let mut free: VecDeque<usize> = (0..self.clients.len()).collect();
        let mut events = Events::default();
        while next < time || !due.is_empty() || free.len() < self.clients.len() {
            check(deadline)?;
            let now = begin.elapsed();
            while next < time && next <= now {
                due.push_back(begin + next);
                next = schedule.next();
            }
            while !due.is_empty() && !free.is_empty() {
                let (Some(scheduled), Some(key)) = (due.pop_front(), free.pop_front()) else {
                    break;
                };
                self.ask(key, scheduled)?;
            }
            self.epoll.wait(&mut events, Some(Duration::ZERO))?;
            for event in events.iter() {
                if self.hear(event.key)? {
                    histogram.record(self.clients[event.key].asked.elapsed());
                    free.push_back(event.key);
                }
            }
        }
        Ok(histogram)
    }

    /// Has a client ask; `asked` is when the wait began.
    fn ask(&mut self, key: usize, asked: Instant) -> Result<()> {
        let client = &mut self.clients[key];
        client.asked = asked;
        client.missing = self.answer;
        // A question is below any socket's buffer.
        Ok(client.stream.write_all(self.question)?)
    }

    /// Whether the answer is there.
    fn hear(&mut self, key: usize) -> Result<bool> {
        let client = &mut self.clients[key];
        match client.stream.read(&mut self.buffer) {
            Ok(0) => Err("the server has closed the connection".into()),
            Ok(len) if len > client.missing => Err("more came than was asked for".into()),
            Ok(len) => {
                client.missing -= len;
                Ok(client.missing == 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The times of a Poisson process from its begin, the same in every run.
struct Schedule {
    mean: f64,
    time: f64,
    state: u64,
}

impl Schedule {
    fn new(rate: f64) -> Self {
        Self {
            mean: 1.0 / rate,
            time: 0.0,
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // In (0, 1].
        let share = ((self.state >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.time -= self.mean * share.ln();
        Duration::from_secs_f64(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_keeps_its_rate_and_does_not_keep_time() {
        let mut schedule = Schedule::new(1000.0);
        let times: Vec<_> = (0..10_000).map(|_| schedule.next().as_secs_f64()).collect();
        let last = times[9_999];
        assert!((9.5..10.5).contains(&last), "10,000 took {last} s");
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        // Of exponential gaps, e⁻¹ are longer than the mean.
        let long = gaps.filter(|&gap| gap > 0.001).count();
        assert!((3_400..4_000).contains(&long), "{long} of 10,000 are long");
    }
}
