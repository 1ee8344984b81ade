use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::rc::Rc;

use super::*;

#[path = "../../tests/common/rng.rs"]
#[allow(clippy::duplicate_mod, reason = "ten lines that several tests need")]
mod rng;

use rng::Rng;

/// What a reader or a producer does when it is asked next.
#[derive(Clone, Debug)]
enum Step {
    Data(Vec<u8>),
    NotNow,
    Interrupted,
    Failure,
}

impl Step {
    fn random(rng: &mut Rng, failures: bool) -> Self {
        match rng.below(8) {
            0 => Self::NotNow,
            1 => Self::Interrupted,
            2 if failures && rng.below(10) == 0 => Self::Failure,
            _ => {
                let len = 1 + rng.below(40);
                Self::Data(rng.bytes(b"0123456789abcdef\r\n", len))
            }
        }
    }
}

/// Does as its script says, and has come to its end then. It must not be read
/// again afterwards.
struct Script {
    steps: VecDeque<Step>,
    is_at_end: bool,
}

impl Script {
    fn new(steps: &[Step]) -> Self {
        Self {
            steps: steps.iter().cloned().collect(),
            is_at_end: false,
        }
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.is_at_end, "read on after its end");
        assert!(!buffer.is_empty());
        match self.steps.pop_front() {
            Some(Step::Data(mut data)) => {
                let len = data.len().min(buffer.len());
                buffer[..len].copy_from_slice(&data[..len]);
                if len < data.len() {
                    self.steps.push_front(Step::Data(data.split_off(len)));
                }
                Ok(len)
            }
            Some(Step::NotNow) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Step::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            Some(Step::Failure) => Err(io::ErrorKind::InvalidData.into()),
            None => {
                self.is_at_end = true;
                Ok(0)
            }
        }
    }
}

/// A producer that does as the script says: each step is an answer.
impl Producer for Script {
    fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
        assert!(!self.is_at_end, "asked after Done");
        let more = match self.steps.pop_front() {
            Some(Step::Data(data)) => {
                out.extend_from_slice(&data);
                More::Again
            }
            Some(Step::NotNow) => More::Later,
            Some(Step::Interrupted) => More::Again, // without data
            Some(Step::Failure) => return Err(io::ErrorKind::InvalidData.into()),
            None => More::Done,
        };
        // The last data may come with the end.
        let is_last = more == More::Again && self.steps.is_empty();
        self.is_at_end = is_last || more == More::Done;
        Ok(if is_last { More::Done } else { more })
    }
}

/// All data up to the end or the failure, naively; and whether that was one.
fn model(steps: &[Step]) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Data(data) => all.extend_from_slice(data),
            Step::Failure => return (all, true),
            Step::NotNow | Step::Interrupted => {}
        }
    }
    (all, false)
}

/// Asks until it is done or fails; each answer is at most `most` bytes, and is
/// appended to what is there. Returns how it went, and how often it said
/// `Later`.
fn exhaust(
    producer: &mut impl Producer,
    max: usize,
    most: usize,
    out: &mut Vec<u8>,
) -> (io::Result<()>, usize) {
    let mut laters = 0;
    for _ in 0..1_000_000 {
        let before = out.clone();
        let result = producer.more(out, max);
        assert!(out.starts_with(&before), "what was there is kept");
        let made = out.len() - before.len();
        assert!(made <= most, "{made} bytes, {most} wanted");
        match result {
            Ok(More::Again) => {}
            Ok(More::Later) => laters += 1,
            Ok(More::Done) => return (Ok(()), laters),
            Err(error) => return (Err(error), laters),
        }
    }
    panic!("it is never done");
}

fn file(len: usize) -> Cursor<Vec<u8>> {
    Cursor::new((0..len).map(|n| (n % 251) as u8).collect())
}

#[test]
fn a_simple_producer_hands_out_all_of_its_data_by_max_bytes() {
    let data: Vec<u8> = (0..=255).collect();
    for max in [1, 7, 255, 256, 257] {
        let mut producer = SimpleProducer::new(data.clone());
        let mut out = Vec::new();
        let mut asked = 0;
        loop {
            let before = out.len();
            let more = producer.more(&mut out, max).unwrap();
            asked += 1;
            assert!(out.len() - before <= max);
            assert_ne!(more, More::Later);
            if more == More::Done {
                break;
            }
        }
        assert_eq!(out, data);
        // No further question for nothing, when the data ends with a piece.
        assert_eq!(asked, data.len().div_ceil(max));
    }
}

#[test]
fn a_simple_producer_of_nothing_is_done_at_once() {
    let mut out = Vec::new();
    let more = SimpleProducer::new("").more(&mut out, 10).unwrap();
    assert_eq!((more, out.len()), (More::Done, 0));
}

#[test]
fn a_reader_is_read_to_its_end_however_it_reads() {
    let mut rng = Rng::new(0xf11e);
    for _ in 0..2_000 {
        let len = rng.below(12);
        let steps: Vec<_> = (0..len).map(|_| Step::random(&mut rng, true)).collect();
        let (all, fails) = model(&steps);
        let max = 1 + rng.below(50);
        let mut out = b"before".to_vec();
        let mut producer = ReadProducer::new(Script::new(&steps));
        let (result, laters) = exhaust(&mut producer, max, max, &mut out);
        assert_eq!(out[6..], all, "{steps:?}");
        let until_failure = steps.iter().take_while(|s| !matches!(s, Step::Failure));
        let expected = until_failure.filter(|s| matches!(s, Step::NotNow)).count();
        assert_eq!(laters, expected, "{steps:?}");
        let kind = result.map_err(|error| error.kind());
        assert_eq!(
            kind,
            [Ok(()), Err(io::ErrorKind::InvalidData)][usize::from(fails)]
        );
    }
}

#[test]
fn an_exact_number_of_bytes_is_read_or_the_end_is_unexpected() {
    let mut rng = Rng::new(0xe8ac7);
    for _ in 0..2_000 {
        let len = rng.below(12);
        let steps: Vec<_> = (0..len).map(|_| Step::random(&mut rng, false)).collect();
        let (all, _) = model(&steps);
        let len = rng.below(all.len() + 30);
        let max = 1 + rng.below(50);
        let mut out = b"before".to_vec();
        let mut producer = ReadProducer::exact(Script::new(&steps), len as u64);
        let (result, _) = exhaust(&mut producer, max, max, &mut out);
        assert_eq!(out[6..], all[..len.min(all.len())], "{steps:?}");
        let kind = result.map_err(|error| error.kind());
        match len <= all.len() {
            true => assert_eq!(kind, Ok(())),
            false => assert_eq!(kind, Err(io::ErrorKind::UnexpectedEof)),
        }
    }
}

#[test]
fn no_byte_beyond_an_exact_number_is_read() {
    let mut reader = file(100);
    let mut out = Vec::new();
    let mut producer = ReadProducer::exact(&mut reader, 30);
    exhaust(&mut producer, 8, 8, &mut out).0.unwrap();
    assert_eq!((out.len(), reader.position()), (30, 30));
}

#[test]
fn ranges_of_a_file_are_what_slices_of_it_are() {
    let mut rng = Rng::new(0x4a46e);
    let data = file(200).into_inner();
    for _ in 0..2_000 {
        let (start, end) = (rng.below(250), rng.below(250));
        let range = start as u64..end as u64;
        let mut producer = ReadProducer::range(file(200), range).unwrap();
        let mut out = Vec::new();
        let max = 1 + rng.below(300);
        let (result, _) = exhaust(&mut producer, max, max, &mut out);
        if start >= end {
            result.unwrap();
            assert!(out.is_empty(), "an empty range, wherever it is");
        } else if end <= 200 {
            result.unwrap();
            assert_eq!(out, data[start..end]);
        } else {
            // It was promised to the peer, and is not there.
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(out, data[start.min(200)..]);
        }
    }
}

#[test]
fn nothing_is_done_at_once_and_without_reading() {
    struct Untouched;
    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("there is nothing to read");
        }
    }
    let mut out = Vec::new();
    let more = ReadProducer::exact(Untouched, 0)
        .more(&mut out, 10)
        .unwrap();
    assert_eq!((more, out.len()), (More::Done, 0));
}

/// A length that a 32-bit machine cannot count is as good as any other.
#[test]
fn an_endless_reader_gives_max_bytes_at_a_time() {
    let mut producer = ReadProducer::exact(io::repeat(7), u64::MAX);
    let mut out = Vec::new();
    for n in 1..=3 {
        assert_eq!(producer.more(&mut out, 1_000).unwrap(), More::Again);
        assert_eq!(out.len(), 1_000 * n);
    }
}

#[test]
fn the_items_of_an_iterator_leave_whole_and_in_order() {
    let mut rng = Rng::new(0x17e35);
    for _ in 0..1_000 {
        let len = rng.below(20);
        let items: Vec<_> = (0..len)
            .map(|_| {
                let len = [0, 1, 5, 100][rng.below(4)];
                rng.bytes(b"0123456789", len)
            })
            .collect();
        let max = 1 + rng.below(150);
        let mut out = Vec::new();
        let mut producer = IterProducer::new(items.clone());
        // At most one item more than was asked for.
        let (result, laters) = exhaust(&mut producer, max, max - 1 + 100, &mut out);
        result.unwrap();
        assert_eq!((&out[..], laters), (&items.concat()[..], 0));
    }
}

#[test]
fn an_iterator_is_asked_as_the_peer_takes_its_items() {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let items = std::iter::repeat_with(move || {
        count.set(count.get() + 1);
        "ten bytes."
    });
    let mut producer = IterProducer::new(items);
    assert_eq!(asked.get(), 0);
    for n in 1..=3 {
        assert_eq!(producer.more(&mut Vec::new(), 95).unwrap(), More::Again);
        assert_eq!(asked.get(), 10 * n);
    }
}

#[test]
fn endless_empty_items_end_an_answer() {
    let mut producer = IterProducer::new(std::iter::repeat(""));
    let mut out = Vec::new();
    assert_eq!(producer.more(&mut out, 10).unwrap(), More::Again);
    assert!(out.is_empty());
}

/// A decoder of the chunked coding that takes nothing for granted: the data, and
/// what is left after the last chunk.
fn decode(mut coded: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut data = Vec::new();
    loop {
        let line = coded.windows(2).position(|two| two == b"\r\n")?;
        let len = std::str::from_utf8(&coded[..line]).ok()?;
        let len = usize::from_str_radix(len, 16).ok()?;
        coded = &coded[line + 2..];
        let (chunk, rest) = coded.split_at_checked(len)?;
        data.extend_from_slice(chunk);
        coded = rest.strip_prefix(b"\r\n")?;
        if len == 0 {
            return Some((data, coded));
        }
    }
}

#[test]
fn chunks_decode_to_what_the_producer_made() {
    let mut rng = Rng::new(0xc4c4);
    for _ in 0..2_000 {
        let len = rng.below(12);
        let steps: Vec<_> = (0..len).map(|_| Step::random(&mut rng, false)).collect();
        let mut out = Vec::new();
        let mut producer = ChunkedProducer::new(Script::new(&steps));
        let (result, laters) = exhaust(&mut producer, 100, 100, &mut out);
        result.unwrap();
        let (data, rest) = decode(&out).expect("it is no chunked coding");
        assert_eq!(data, model(&steps).0, "{steps:?}");
        assert!(rest.is_empty(), "{steps:?}");
        // Whoever says `Later` is asked later, chunked or not.
        let expected = steps.iter().filter(|s| matches!(s, Step::NotNow)).count();
        assert_eq!(laters, expected, "{steps:?}");
    }
}

/// A body that is cut off must not look complete.
#[test]
fn chunks_of_a_producer_that_fails_have_no_last_one() {
    let steps = [Step::Data(b"half".to_vec()), Step::Failure];
    let mut out = Vec::new();
    let mut producer = ChunkedProducer::new(Script::new(&steps));
    let (result, _) = exhaust(&mut producer, 100, 100, &mut out);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(out, b"4\r\nhalf\r\n");
}

#[test]
fn a_hook_is_called_once_with_what_was_made_and_not_after_a_failure() {
    let mut rng = Rng::new(0x4007);
    for _ in 0..2_000 {
        let len = rng.below(10);
        let steps: Vec<_> = (0..len).map(|_| Step::random(&mut rng, true)).collect();
        let (all, fails) = model(&steps);
        let told = Rc::new(RefCell::new(Vec::new()));
        let tell = Rc::clone(&told);
        let mut out = b"not counted".to_vec();
        let mut producer = HookedProducer::new(Script::new(&steps), move |len| {
            tell.borrow_mut().push(len);
        });
        let (result, _) = exhaust(&mut producer, 100, 100, &mut out);
        assert_eq!(result.is_err(), fails);
        assert_eq!(out[11..], all, "{steps:?}");
        let expected = if fails {
            vec![]
        } else {
            vec![all.len() as u64]
        };
        assert_eq!(*told.borrow(), expected, "{steps:?}");
    }
}

/// Producers of producers, as a program puts them together.
#[test]
fn a_range_of_a_file_in_chunks_with_a_hook() {
    let told = Rc::new(Cell::new(0));
    let tell = Rc::clone(&told);
    let range = ReadProducer::range(file(5_000), 1_000..4_000).unwrap();
    let inner: Box<dyn Producer> = Box::new(HookedProducer::new(range, move |len| tell.set(len)));
    let mut out = Vec::new();
    let mut producer = ChunkedProducer::new(inner);
    exhaust(&mut producer, 700, 720, &mut out).0.unwrap();
    let (data, rest) = decode(&out).unwrap();
    assert_eq!(data, file(5_000).into_inner()[1_000..4_000]);
    assert!(rest.is_empty());
    assert_eq!(told.get(), 3_000);
}
