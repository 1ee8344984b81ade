//! In what ours is not to be like the original: [`Difference`].

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::oracle::mark::{Mark, outcome};
use crate::oracle::outcome::Outcome;
use crate::oracle::rules;

/// A way in which CPython's `asynchat` and ours differ, on purpose.
///
/// Each has a rule, which changes the original's record where, and only where,
/// the difference shows. There are two kinds. A *mend* says what ours does
/// instead, and the scenario is compared to its end. A *cut* is for what leads
/// elsewhere: the scenario is compared up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Cut. The original takes a count of 0 for no terminator, and collects for
    /// ever. Ours ends a message at once.
    CountOfZero,
    /// Cut. `collect_incoming_data` gets the last data of a message, and sets
    /// another terminator than the string that ended it. The original calls
    /// `found_terminator` all the same. Ours does not: what ended it is data
    /// under the new terminator.
    EndComesAnyway,
    /// Cut. `collect_incoming_data` sets a terminator while a count counts. The
    /// original subtracts from what was set, which for a string is a
    /// `TypeError`, or sets it to 0. In ours it stands.
    CountOverwritesTerminator,
    /// Cut. `collect_incoming_data` sets a terminator while a prefix of the old
    /// one is held back. The original looks at it again with the next read, ours
    /// at once.
    HeldUntilTheNextRead,
    /// Cut. `collect_incoming_data` raised, and `handle_error` did not close.
    /// The original gives the same data out again with the next read.
    FailedDataComesAgain,
    /// Cut. `found_terminator` raised, `handle_error` did not close, and there
    /// was more input in the buffer. The original goes on with the next read, if
    /// there is one, and what that brings; ours goes on at once. So what
    /// `collect_incoming_data` does comes at another byte.
    RestWaitsForTheNextRead,
    /// Cut. Sending failed. The original closes the channel there; ours delivers
    /// first what the peer had sent.
    SendFailureEndsInput,
    /// Cut. A producer that is false and has nothing: the original takes what
    /// follows it out of the queue as well, or raises `IndexError`. To ours it
    /// is a producer like any other.
    EmptyFalsyProducer,
    /// Cut. As [`HeldIsLostAtEof`](Self::HeldIsLostAtEof), and in ours
    /// `collect_incoming_data` does something when it gets it.
    HeldActsAtEof,
    /// Mend. The original delivers what is left of the read after `close`. Ours
    /// does not.
    DeliversAfterClose,
    /// Mend. The original delivers after `close_when_done`: what is left of the
    /// read, and what comes until the last byte is sent. Ours does not.
    DeliversAfterCloseWhenDone,
    /// Mend. In the original a `push` after `close_when_done` may call
    /// `handle_close`. Ours calls it when the callback has returned.
    ClosesInsidePush,
    /// Mend. The original calls `handle_close` again after an error. Ours calls
    /// it once.
    ClosesTwice,
    /// Mend. In the original `discard_buffers` drops the `close_when_done` that
    /// came before. In ours it drops data only.
    DiscardKeepsOpen,
    /// Mend. In the original the user's own `close` does not call
    /// `handle_close`. In ours it does.
    CloseIsNotTold,
    /// Mend. After a count was reached the original's terminator is 0, ours
    /// none. Both collect for ever.
    SpentCountIsZero,
    /// Mend. The original asks a producer that is false once only: its first
    /// piece is sent, the others are not. Ours sends all.
    FalsyProducer,
    /// Mend. The original sends within `push`, and so before a later `close` or
    /// `discard_buffers` in the same read. Ours sends after the read, and so drops
    /// what these drop.
    PushSendsAtOnce,
    /// Mend. The original closes at the end of the input, and what is queued is
    /// lost. Ours sends it.
    QueueIsLostAtEof,
    /// Mend. The original closes after an error, and what is queued is lost. Ours
    /// sends what was pushed before.
    QueueIsLostByError,
    /// Mend. What may be the beginning of a terminator is never delivered by the
    /// original if the input ends there. Ours delivers it.
    HeldIsLostAtEof,
}

impl Difference {
    /// Those that end the comparison.
    const CUTS: [Self; 9] = [
        Self::CountOfZero,
        Self::EndComesAnyway,
        Self::CountOverwritesTerminator,
        Self::HeldUntilTheNextRead,
        Self::FailedDataComesAgain,
        Self::RestWaitsForTheNextRead,
        Self::SendFailureEndsInput,
        Self::EmptyFalsyProducer,
        Self::HeldActsAtEof,
    ];

    /// The others, in the order in which their rules are applied.
    const MENDS: [Self; 12] = [
        Self::FalsyProducer,
        Self::PushSendsAtOnce,
        Self::QueueIsLostByError,
        Self::DeliversAfterClose,
        Self::DeliversAfterCloseWhenDone,
        Self::ClosesInsidePush,
        Self::ClosesTwice,
        Self::DiscardKeepsOpen,
        Self::CloseIsNotTold,
        Self::SpentCountIsZero,
        Self::QueueIsLostAtEof,
        Self::HeldIsLostAtEof,
    ];

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::CUTS.into_iter().chain(Self::MENDS)
    }

    /// Its letter in the recorded outcomes.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::CountOfZero => 'Z',
            Self::EndComesAnyway => 'A',
            Self::CountOverwritesTerminator => 'O',
            Self::HeldUntilTheNextRead => 'U',
            Self::FailedDataComesAgain => 'F',
            Self::RestWaitsForTheNextRead => 'R',
            Self::SendFailureEndsInput => 'S',
            Self::EmptyFalsyProducer => 'E',
            Self::HeldActsAtEof => 'H',
            Self::DeliversAfterClose => 'c',
            Self::DeliversAfterCloseWhenDone => 'd',
            Self::ClosesInsidePush => 'i',
            Self::ClosesTwice => 't',
            Self::DiscardKeepsOpen => 'k',
            Self::CloseIsNotTold => 'n',
            Self::SpentCountIsZero => 's',
            Self::FalsyProducer => 'f',
            Self::PushSendsAtOnce => 'p',
            Self::QueueIsLostAtEof => 'q',
            Self::QueueIsLostByError => 'e',
            Self::HeldIsLostAtEof => 'h',
        }
    }

    pub(crate) fn of_letter(letter: char) -> Option<Self> {
        Self::all().find(|difference| difference.letter() == letter)
    }

    /// How much of the record is left by a cut; `None` if the difference does
    /// not show.
    fn cut(self, marks: &[Mark]) -> Option<usize> {
        match self {
            Self::CountOfZero => rules::count_of_zero(marks),
            Self::EndComesAnyway => rules::end_comes_anyway(marks),
            Self::CountOverwritesTerminator => rules::count_overwrites_terminator(marks),
            Self::HeldUntilTheNextRead => rules::held_until_the_next_read(marks),
            Self::FailedDataComesAgain => rules::failed_data_comes_again(marks),
            Self::RestWaitsForTheNextRead => rules::rest_waits_for_the_next_read(marks),
            Self::SendFailureEndsInput => rules::send_failure_ends_input(marks),
            Self::EmptyFalsyProducer => rules::empty_falsy_producer(marks),
            Self::HeldActsAtEof => rules::held_acts_at_eof(marks),
            _ => None,
        }
    }

    /// The record as ours would write it.
    fn mend(self, marks: Vec<Mark>) -> Vec<Mark> {
        match self {
            Self::DeliversAfterClose => rules::delivers_after(&Mark::Close, marks),
            Self::DeliversAfterCloseWhenDone => rules::delivers_after(&Mark::Done, marks),
            Self::ClosesInsidePush => rules::closes_inside_push(marks),
            Self::ClosesTwice => rules::closes_twice(marks),
            Self::DiscardKeepsOpen => rules::discard_keeps_open(marks),
            Self::CloseIsNotTold => rules::close_is_not_told(marks),
            Self::SpentCountIsZero => rules::spent_count_is_zero(marks),
            Self::FalsyProducer => rules::falsy_producer(marks),
            Self::PushSendsAtOnce => rules::push_sends_at_once(marks),
            Self::QueueIsLostAtEof => rules::queue_is_lost_at_eof(marks),
            Self::QueueIsLostByError => rules::queue_is_lost_by_error(marks),
            Self::HeldIsLostAtEof => rules::held_is_lost_at_eof(marks),
            _ => marks,
        }
    }
}

/// What is expected of ours, given what the original did, and by which
/// differences that is not the same.
pub(crate) fn expected(record: &[Mark]) -> (Outcome, Vec<Difference>) {
    let mut marks = record.to_vec();
    let mut differences = Vec::new();
    let cuts = Difference::CUTS.into_iter();
    let first = cuts.filter_map(|difference| Some((difference.cut(&marks)?, difference)));
    if let Some((len, difference)) = first.min() {
        marks.truncate(len);
        marks.push(Mark::Unknown);
        differences.push(difference);
    }
    let mut expected = outcome(&marks);
    for difference in Difference::MENDS {
        marks = difference.mend(marks);
        let mended = outcome(&marks);
        if mended != expected {
            differences.push(difference);
            expected = mended;
        }
    }
    (expected, differences)
}

/// How many scenarios had which difference.
#[derive(Default)]
pub(crate) struct Tally {
    scenarios: usize,
    same: usize,
    cut: usize,
    by_name: BTreeMap<Difference, usize>,
}

impl Tally {
    pub(crate) fn add(&mut self, differences: &[Difference], is_whole: bool) {
        self.scenarios += 1;
        self.same += usize::from(differences.is_empty());
        self.cut += usize::from(!is_whole);
        for &difference in differences {
            *self.by_name.entry(difference).or_default() += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.same += other.same;
        self.cut += other.cut;
        for (difference, count) in other.by_name {
            *self.by_name.entry(difference).or_default() += count;
        }
    }

    /// A rule for what never happens would be a hole and no more.
    #[track_caller]
    pub(crate) fn assert_all_occur(&self) {
        for difference in Difference::all() {
            let count = self.by_name.get(&difference);
            assert!(count.is_some(), "{difference:?} does not occur");
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} scenarios, {} without a difference, {} compared in part",
            self.scenarios, self.same, self.cut
        )?;
        for (difference, count) in &self.by_name {
            write!(f, ", {difference:?} {count}")?;
        }
        Ok(())
    }
}
