use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use super::producers::EMPTY_ANSWERS;
use super::*;
use crate::producer::More;
use crate::producing::later;

#[path = "../../tests/common/rng.rs"]
#[allow(clippy::duplicate_mod, reason = "ten lines that several tests need")]
mod rng;

use rng::Rng;

/// Gives the answers it was made with, one by one.
struct Scripted {
    answers: VecDeque<(Vec<u8>, More)>,
    /// Bytes that have left when it is its turn.
    begins_at: usize,
    sent: Rc<Cell<usize>>,
    made: Rc<Cell<usize>>,
}

impl Producer for Scripted {
    fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
        assert!(out.is_empty(), "a fresh buffer");
        assert!(self.sent.get() >= self.begins_at, "asked before its turn");
        let (data, more) = self.answers.pop_front().expect("asked after Done");
        out.extend_from_slice(&data);
        self.made.set(self.made.get() + data.len());
        Ok(more)
    }
}

fn answer(answers: impl FnMut(&mut Vec<u8>) -> io::Result<More> + 'static) -> Box<dyn Producer> {
    struct Answering<F>(F);
    impl<F: FnMut(&mut Vec<u8>) -> io::Result<More>> Producer for Answering<F> {
        fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
            (self.0)(out)
        }
    }
    Box::new(Answering(answers))
}

fn gathered(output: &Output) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let (count, len) = output.gather(&mut slices);
    assert!(count <= MAX_SLICES);
    let data: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
    assert!(slices[..count].iter().all(|s| !s.is_empty()));
    assert_eq!(data.len(), len, "gather says what it gave");
    data
}

/// What will leave, in order, and how much of it is there.
struct Model {
    stream: Vec<u8>,
    pushed: usize,
    sent: Rc<Cell<usize>>,
    made: Rc<Cell<usize>>,
}

impl Model {
    fn queued(&self) -> usize {
        self.pushed + self.made.get() - self.sent.get()
    }
}

/// Sometimes none, mostly little, now and then more than a segment.
fn random_data(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(30) {
        0 => 0,
        1 => 50_000 + rng.below(100_000),
        2..6 => rng.below(3 * COPY_LEN),
        _ => 1 + rng.below(60),
    };
    // Numbered, so that what is out of order shows.
    let first = rng.below(251);
    (first..first + len).map(|i| (i % 251) as u8).collect()
}

fn random_step(rng: &mut Rng, output: &mut Output, model: &mut Model) {
    match rng.below(10) {
        0..3 => {
            let data = random_data(rng);
            output.push(&data);
            model.pushed += data.len();
            model.stream.extend(data);
        }
        3..5 => {
            let data = random_data(rng);
            model.pushed += data.len();
            model.stream.extend_from_slice(&data);
            output.push_bytes(Bytes::from(data));
        }
        5 => {
            let begins_at = model.stream.len();
            let count = 1 + rng.below(4);
            let answers: VecDeque<_> = (1..=count)
                .map(|nth| {
                    let data = match rng.below(3) {
                        0 => Vec::new(),
                        _ => random_data(rng),
                    };
                    model.stream.extend_from_slice(&data);
                    let more = match rng.below(4) {
                        _ if nth == count => More::Done,
                        0 => More::Later,
                        _ => More::Again,
                    };
                    (data, more)
                })
                .collect();
            output.push_producer(Box::new(Scripted {
                answers,
                begins_at,
                sent: Rc::clone(&model.sent),
                made: Rc::clone(&model.made),
            }));
        }
        6 => {
            output.unstall();
            output.refill(1_000, &mut later).unwrap();
        }
        _ => {
            let data = gathered(output);
            let all = model.sent.get();
            assert_eq!(data, model.stream[all..all + data.len()], "the order");
            let sent = match rng.below(3) {
                0 => data.len(),
                1 => rng.below(data.len().min(10) + 1),
                _ => rng.below(data.len() + 1),
            };
            output.advance(sent);
            model.sent.set(all + sent);
        }
    }
}

#[test]
fn what_leaves_is_what_was_queued_in_order_whatever_each_send_takes() {
    let mut rng = Rng::new(21);
    for round in 0..150 {
        let mut output = Output::new(&Limits::DEFAULT);
        if round % 2 == 0 {
            output.use_buffers(&Buffers::default());
        }
        let mut model = Model {
            stream: Vec::new(),
            pushed: 0,
            sent: Rc::default(),
            made: Rc::default(),
        };
        for _ in 0..150 {
            random_step(&mut rng, &mut output, &mut model);
            assert_eq!(output.len(), model.queued());
        }
        // To the end: everything arrives, and then nothing is left.
        while !output.is_empty() {
            output.unstall();
            output.refill(1_000, &mut later).unwrap();
            let data = gathered(&output);
            let all = model.sent.get();
            assert_eq!(data, model.stream[all..all + data.len()]);
            output.advance(data.len());
            model.sent.set(all + data.len());
        }
        assert_eq!(model.sent.get(), model.stream.len());
        assert_eq!((output.len(), output.is_ready()), (0, false));
    }
}

#[test]
fn every_size_of_a_partial_send_leaves_the_rest() {
    let build = || {
        let mut output = Output::new(&Limits::DEFAULT);
        output.push(b"copied");
        output.push_bytes(vec![b's'; COPY_LEN + 1].into());
        output.push(b"tail");
        output.push_bytes("small".into());
        output
    };
    let all = gathered(&build());
    assert_eq!(all.len(), 6 + COPY_LEN + 1 + 9);
    for sent in 0..=all.len() {
        let mut output = build();
        output.advance(sent);
        assert_eq!(output.len(), all.len() - sent);
        assert_eq!(gathered(&output), all[sent..]);
        assert_eq!(output.is_empty(), sent == all.len());
    }
}

#[test]
fn small_pushes_leave_in_one_slice_and_large_shared_data_is_not_copied() {
    let mut output = Output::new(&Limits::DEFAULT);
    for _ in 0..1_000 {
        output.push(b"a line\r\n");
    }
    let shared = Bytes::from(vec![1; 100_000]);
    output.push_bytes(shared.clone());
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    assert_eq!(output.gather(&mut slices), (2, 108_000));
    assert_eq!(slices[1].as_ptr(), shared.as_ptr());
}

#[test]
fn more_pieces_than_one_write_takes_leave_in_several() {
    let mut output = Output::new(&Limits::DEFAULT);
    for _ in 0..40 {
        output.push_bytes(vec![7; 2_000].into());
    }
    output.push(b"tail");
    let mut writes = 0;
    while !output.is_empty() {
        let len = gathered(&output).len();
        assert!(len <= MAX_SLICES * 2_000);
        output.advance(len);
        writes += 1;
    }
    assert_eq!(writes, 3);
}

#[test]
fn a_push_larger_than_a_segment_is_one_piece_of_the_stream() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push(b"before");
    output.push(&vec![b'x'; 3 * SEGMENT_LEN]);
    output.push(b"after");
    let data = gathered(&output);
    assert_eq!(output.len(), data.len());
    assert!(data.starts_with(b"beforex") && data.ends_with(b"xafter"));
    assert_eq!(data.len(), 3 * SEGMENT_LEN + 11);
}

#[test]
fn a_producer_that_says_later_is_not_ready_until_it_is_unstalled() {
    let mut output = Output::new(&Limits::DEFAULT);
    let mut asked = 0;
    output.push_producer(answer(move |out| {
        asked += 1;
        if asked == 1 {
            return Ok(More::Later);
        }
        out.extend_from_slice(b"now");
        Ok(More::Done)
    }));
    assert!(output.is_ready(), "it was not asked yet");
    output.refill(10, &mut later).unwrap();
    assert!(!output.is_ready() && !output.is_empty());
    output.unstall();
    assert!(output.is_ready());
    output.refill(10, &mut later).unwrap();
    assert_eq!(gathered(&output), b"now");
}

/// Otherwise the channel asks to hear of room for output, of which there is
/// plenty, and the loop never rests.
#[test]
fn what_waits_behind_a_producer_that_says_later_is_not_ready_either() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push_producer(answer(|_| Ok(More::Later)));
    output.push(b"behind it");
    output.refill(10, &mut later).unwrap();
    assert_eq!(gathered(&output), b"", "the producer's turn comes first");
    assert!(!output.is_ready(), "nothing can be sent now");
}

#[test]
fn a_producer_that_made_something_and_says_later_has_that_sent_first() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push_producer(answer(|out| {
        out.extend_from_slice(b"some");
        Ok(More::Later)
    }));
    output.refill(10, &mut later).unwrap();
    assert!(output.is_ready());
    assert_eq!(gathered(&output), b"some");
    output.advance(4);
    assert!(!output.is_ready());
}

/// CPython's defect: a falsy producer, or an empty answer, was the end of it.
#[test]
fn an_empty_answer_does_not_end_a_producer_and_an_endless_row_ends_the_refill() {
    let mut output = Output::new(&Limits::DEFAULT);
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    output.push_producer(answer(move |out| {
        count.set(count.get() + 1);
        if count.get() == 100 {
            out.extend_from_slice(b"at last");
            return Ok(More::Done);
        }
        Ok(More::Again)
    }));
    let mut refills = 0;
    while gathered(&output).is_empty() {
        output.refill(10, &mut later).unwrap();
        refills += 1;
        assert!(asked.get() <= refills * EMPTY_ANSWERS);
    }
    assert_eq!(gathered(&output), b"at last");
}

#[test]
fn a_producers_error_is_told_and_what_was_made_before_is_not_lost() {
    let mut output = Output::new(&Limits::DEFAULT);
    let mut asked = 0;
    output.push_producer(answer(move |out| {
        asked += 1;
        if asked == 1 {
            out.extend_from_slice(b"good");
            return Ok(More::Again);
        }
        Err(io::ErrorKind::InvalidData.into())
    }));
    output.refill(10, &mut later).unwrap();
    // While there is something to send, the producer is left alone.
    output.refill(10, &mut later).unwrap();
    assert_eq!(gathered(&output), b"good");
    output.advance(4);
    let error = output.refill(10, &mut later).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn discarding_drops_bytes_and_producers() {
    let dropped = Rc::new(RefCell::new(()));
    let held = Rc::clone(&dropped);
    let mut output = Output::new(&Limits::DEFAULT);
    output.push(b"bytes");
    output.push_producer(answer(move |_| {
        let _ = &held;
        Ok(More::Later)
    }));
    output.push(b"tail");
    output.clear();
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!((output.len(), output.is_ready()), (0, false));
    assert!(output.is_empty());
    output.push(b"new");
    assert_eq!(gathered(&output), b"new");
}

#[test]
fn there_is_room_in_a_buffer_that_was_begun_and_nowhere_else() {
    let steps: [fn(&mut Output); 6] = [
        |output| output.push_bytes(vec![b's'; COPY_LEN + 1].into()),
        |output| output.push_producer(answer(|_| Ok(More::Later))),
        |output| output.advance(output.len()),
        Output::clear,
        Output::lose,
        |output| {
            let mut limits = Limits::DEFAULT;
            limits.high_water = 5;
            output.use_limits(&limits);
        },
    ];
    for (nth, step) in steps.into_iter().enumerate() {
        let mut output = Output::new(&Limits::DEFAULT);
        output.use_buffers(&Buffers::default());
        assert!(!output.push_within_room(b"x"), "nothing was begun");
        output.push(b"some");
        assert!(output.push_within_room(b"x"));
        step(&mut output);
        assert!(!output.push_within_room(b"x"), "step {nth}");
    }
}

/// Then no push has to look at the limits.
#[test]
fn there_is_room_in_a_buffer_that_is_within_the_limits() {
    let room = |high_water| {
        let mut limits = Limits::DEFAULT;
        limits.high_water = high_water;
        let mut output = Output::new(&limits);
        output.use_buffers(&Buffers::default());
        output.push(b"four");
        while output.push_within_room(b"5") {}
        output.len()
    };
    assert_eq!(room(4_095), 4, "a full buffer is beyond them");
    assert_eq!(room(65_536), 4_096, "what a spare buffer holds");
}

/// What was sent in part stays where it is.
#[test]
fn a_push_behind_a_piece_that_was_sent_in_part_is_gathered_with_it() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push(b"first ");
    output.advance(3);
    output.push(b"second");
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    assert_eq!(output.gather(&mut slices), (1, 9));
    assert_eq!(gathered(&output), b"st second");
    assert_eq!(output.len(), 9);
}

#[test]
fn after_a_loss_nothing_is_queued_and_the_loss_is_known() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push(b"lost");
    output.lose();
    output.clear();
    assert!(output.is_empty() && !output.is_ready());
    assert_eq!((output.len(), output.unsent().bytes), (0, 4));
}

/// One slice for each would be a system call for every sixteen lines.
#[test]
fn small_pushes_behind_large_shared_data_leave_in_one_slice_too() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.push_bytes(vec![b's'; 2_000].into());
    for _ in 0..1_000 {
        output.push(b"a line\r\n");
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    assert_eq!(output.gather(&mut slices), (2, 10_000));
}

/// What was gathered is not copied again and again, to an ever larger buffer.
#[test]
fn pushes_are_gathered_up_to_a_segment() {
    for before in [0, 2_000] {
        let mut output = Output::new(&Limits::DEFAULT);
        output.push_bytes(vec![b's'; before].into());
        for _ in 0..200 {
            output.push(&[b'x'; 1_000]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, len) = output.gather(&mut slices);
        assert_eq!(len, before + 200_000);
        let gathered = &slices[usize::from(before > 0)..count];
        let lens: Vec<usize> = gathered.iter().map(|slice| slice.len()).collect();
        assert_eq!(lens, [65_000, 65_000, 65_000, 5_000]);
    }
}

/// Queues what makes a buffer of 4 KiB one of 16 KiB.
fn push_much(output: &mut Output) {
    output.push(&[b'x'; 9_000]);
}

/// Whether the next one who pushes gets that buffer.
fn has_grown_one(buffers: &Buffers) -> bool {
    buffers.take_spare().capacity() == 16_384
}

#[test]
fn a_buffer_that_is_done_with_is_the_next_ones_however_it_ended() {
    let ends: [fn(&mut Output); 4] = [
        |output| output.advance(9_000),
        |output| {
            output.advance(8_999);
            output.advance(1);
        },
        |output| {
            output.push_bytes(vec![b's'; 2_000].into());
            output.advance(11_000);
        },
        Output::clear,
    ];
    for (nth, end) in ends.into_iter().enumerate() {
        let buffers = Buffers::default();
        let mut output = Output::new(&Limits::DEFAULT);
        output.use_buffers(&buffers);
        push_much(&mut output);
        end(&mut output);
        assert!(output.is_empty());
        assert!(has_grown_one(&buffers), "end {nth}");
    }
}

#[test]
fn a_buffer_is_used_again_for_ever() {
    let buffers = Buffers::default();
    let mut output = Output::new(&Limits::DEFAULT);
    output.use_buffers(&buffers);
    for _ in 0..2_000 {
        push_much(&mut output);
        output.advance(9_000);
    }
    assert!(has_grown_one(&buffers));
}

/// Nor is one of 4 KiB, which is all that most channels need, made anew.
#[test]
fn a_buffer_that_has_not_grown_is_used_again_too() {
    let mut output = Output::new(&Limits::DEFAULT);
    output.use_buffers(&Buffers::default());
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    output.push(b"first");
    output.gather(&mut slices);
    let first = slices[0].as_ptr();
    output.advance(5);
    let _other = Vec::<u8>::with_capacity(4_096); // would get its memory
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    output.push(b"second");
    output.gather(&mut slices);
    assert_eq!(slices[0].as_ptr(), first);
}

#[test]
fn a_producer_that_makes_nothing_leaves_its_buffer() {
    let buffers = Buffers::default();
    let mut output = Output::new(&Limits::DEFAULT);
    output.use_buffers(&buffers);
    push_much(&mut output);
    output.advance(9_000);
    output.push_producer(answer(|_| Ok(More::Done)));
    output.refill(10, &mut later).unwrap();
    assert!(output.is_empty());
    assert!(has_grown_one(&buffers));
}

/// A buffer for output has room for 4 KiB, whoever had it before.
#[test]
fn a_producer_that_gives_a_small_buffer_of_its_own_leaves_no_small_one() {
    let buffers = Buffers::default();
    let mut output = Output::new(&Limits::DEFAULT);
    output.use_buffers(&buffers);
    output.push_producer(answer(|out| {
        *out = b"small".to_vec();
        Ok(More::Done)
    }));
    output.refill(10, &mut later).unwrap();
    assert_eq!(gathered(&output), b"small");
    output.advance(5);
    assert!(buffers.take_spare().capacity() >= 4_096);
}
