//! The rules of the differences: functions of the original's record. What each
//! is for is said in [`Difference`](crate::oracle::difference::Difference).

use crate::oracle::mark::{Mark, Place};
use crate::oracle::scenario::Term;

pub(crate) fn count_of_zero(marks: &[Mark]) -> Option<usize> {
    let at = (0..marks.len()).find(|&at| marks[at] == Mark::Zero && !ends(marks, at))?;
    Some(callback_end(marks, at))
}

pub(crate) fn end_comes_anyway(marks: &[Mark]) -> Option<usize> {
    let at = acting(marks, &[Place::Found]).find(|&at| sets(marks, at) && !ends(marks, at))?;
    Some(callback_end(marks, at))
}

pub(crate) fn count_overwrites_terminator(marks: &[Mark]) -> Option<usize> {
    let at = acting(marks, &[Place::Count, Place::CountEnd]).find(|&at| {
        // An error that the callback has not raised is that of the subtraction.
        let raises = actions(marks, at).contains(&Mark::Fail);
        sets(marks, at) && !raises && !is_closing(&marks[..callback_end(marks, at)])
    })?;
    Some(at + actions(marks, at).len())
}

pub(crate) fn held_until_the_next_read(marks: &[Mark]) -> Option<usize> {
    let at = acting(marks, &[Place::Prefix]).find(|&at| {
        let is_held = !actions(marks, at).contains(&Mark::Discard);
        sets(marks, at) && is_held && !ends(marks, at)
    })?;
    Some(callback_end(marks, at))
}

pub(crate) fn failed_data_comes_again(marks: &[Mark]) -> Option<usize> {
    let at = acting(marks, ALL_PLACES)
        .find(|&at| actions(marks, at).contains(&Mark::Fail) && !ends(marks, at))?;
    Some(callback_end(marks, at))
}

pub(crate) fn rest_waits_for_the_next_read(marks: &[Mark]) -> Option<usize> {
    (0..marks.len()).find_map(|at| {
        let is_left = marks[at] == Mark::Forgiven { has_rest: true };
        if !is_left || is_closing(&marks[..at]) {
            return None;
        }
        if !marks[at..].contains(&Mark::Read) {
            return Some(at + 1);
        }
        // What is done with the data of the next read, that ours gave out in two?
        let mut rest = (at..marks.len()).skip_while(|&at| marks[at] != Mark::Read);
        let is_over = |at: usize| matches!(marks[at], Mark::Eof(_) | Mark::Forgiven { .. });
        let acting = rest.find(|&at| {
            let is_data = matches!(marks[at], Mark::Data(_));
            is_over(at) || (is_data && actions(marks, at).iter().any(is_effective))
        })?;
        (!is_over(acting)).then_some(acting)
    })
}

pub(crate) fn send_failure_ends_input(marks: &[Mark]) -> Option<usize> {
    let at = position(marks, &Mark::Broken)?;
    (!is_closing(&marks[..at])).then_some(at)
}

pub(crate) fn empty_falsy_producer(marks: &[Mark]) -> Option<usize> {
    position(marks, &Mark::Ate)
}

pub(crate) fn held_acts_at_eof(marks: &[Mark]) -> Option<usize> {
    let at = marks.iter().position(|mark| matches!(mark, Mark::Eof(_)))?;
    let is_lost = matches!(marks.last(), Some(Mark::Kept { data, acts: true }) if !data.is_empty());
    (is_lost && !is_closing(&marks[..at])).then_some(at)
}

pub(crate) fn delivers_after(how: &Mark, mut marks: Vec<Mark>) -> Vec<Mark> {
    let Some(at) = marks.iter().position(is_close_or_done) else {
        return marks;
    };
    let has_closed = actions(&marks, at).contains(&Mark::Close);
    if has_closed == (*how == Mark::Close) {
        let later = marks.split_off(callback_end(&marks, at));
        let is_told = |mark: &Mark| matches!(mark, Mark::Data(_) | Mark::Found(_) | Mark::Return);
        marks.extend(later.into_iter().filter(|mark| !is_told(mark)));
    }
    marks
}

pub(crate) fn closes_inside_push(mut marks: Vec<Mark>) -> Vec<Mark> {
    let Some(at) = position(&marks, &Mark::Closed) else {
        return marks;
    };
    if is_inside(&marks, at) {
        let end = callback_end(&marks, at);
        marks[at..end].rotate_left(1);
    }
    marks
}

pub(crate) fn closes_twice(mut marks: Vec<Mark>) -> Vec<Mark> {
    let mut is_first = true;
    marks.retain(|mark| *mark != Mark::Closed || std::mem::take(&mut is_first));
    marks
}

pub(crate) fn discard_keeps_open(mut marks: Vec<Mark>) -> Vec<Mark> {
    let Some(done) = position(&marks, &Mark::Done) else {
        return marks;
    };
    let actions = actions(&marks, done);
    let discard = actions.iter().rposition(|mark| *mark == Mark::Discard);
    let Some(discard) = discard.map(|discard| done + discard) else {
        return marks;
    };
    let end = callback_end(&marks, done);
    let is_closed_by_user = marks[..end].contains(&Mark::Close);
    if is_closed_by_user {
        return marks;
    }
    let later = marks.split_off(discard);
    let is_of_one_who_is_open = |mark: &Mark| {
        matches!(
            mark,
            Mark::Sent(_) | Mark::Unasked(_) | Mark::Queued(_) | Mark::Open(_)
        )
    };
    marks.extend(later.into_iter().filter(|m| !is_of_one_who_is_open(m)));
    if !marks.contains(&Mark::Closed) {
        let end = callback_end(&marks, done);
        marks.insert(end, Mark::Closed);
    }
    marks
}

pub(crate) fn close_is_not_told(mut marks: Vec<Mark>) -> Vec<Mark> {
    if let Some(at) = position(&marks, &Mark::Close) {
        if !marks.contains(&Mark::Closed) {
            let end = callback_end(&marks, at);
            marks.insert(end, Mark::Closed);
        }
    }
    marks
}

pub(crate) fn spent_count_is_zero(mut marks: Vec<Mark>) -> Vec<Mark> {
    for mark in &mut marks {
        if let Mark::Found(term) | Mark::Eof(term) | Mark::Open(term) = mark {
            if *term == Term::Count(0) {
                *term = Term::None;
            }
        }
    }
    marks
}

pub(crate) fn falsy_producer(mut marks: Vec<Mark>) -> Vec<Mark> {
    for at in 0..marks.len() {
        // Its first piece is a byte, which has been sent at once.
        let is_sent = matches!(marks.get(at + 1), Some(Mark::Sent(_)));
        if let (Mark::Unasked(rest), true) = (&marks[at], is_sent) {
            marks[at] = Mark::Sent(rest.clone());
            marks.swap(at, at + 1);
        }
    }
    marks
}

pub(crate) fn push_sends_at_once(mut marks: Vec<Mark>) -> Vec<Mark> {
    let mut at = 0;
    while at < marks.len() {
        if let Mark::Close | Mark::Discard = marks[at] {
            let read = marks[..at].iter().rposition(|mark| *mark == Mark::Read);
            let mut now = marks.split_off(read.unwrap_or(0));
            let later = now.split_off(at - marks.len());
            now.retain(|mark| !matches!(mark, Mark::Sent(_)));
            marks.append(&mut now);
            at = marks.len();
            marks.extend(later);
        }
        at += 1;
    }
    marks
}

pub(crate) fn queue_is_lost_at_eof(marks: Vec<Mark>) -> Vec<Mark> {
    let is_at_eof = marks
        .windows(2)
        .any(|two| matches!(two, [Mark::Eof(_), Mark::Closed]));
    match is_at_eof {
        true => send_queue(marks),
        false => marks,
    }
}

pub(crate) fn queue_is_lost_by_error(marks: Vec<Mark>) -> Vec<Mark> {
    // What was pushed after the channel had closed is not sent by ours either.
    let closed = position(&marks, &Mark::Closed);
    match position(&marks, &Mark::Error) {
        Some(error) if closed.is_none_or(|closed| error < closed) => send_queue(marks),
        _ => marks,
    }
}

/// What is queued in the end is sent, unless the user's own `close` came first.
fn send_queue(mut marks: Vec<Mark>) -> Vec<Mark> {
    if !marks.contains(&Mark::Close) {
        for mark in &mut marks {
            if let Mark::Queued(data) = mark {
                *mark = Mark::Sent(std::mem::take(data));
            }
        }
    }
    marks
}

pub(crate) fn held_is_lost_at_eof(mut marks: Vec<Mark>) -> Vec<Mark> {
    let Some(at) = marks.iter().position(|mark| matches!(mark, Mark::Eof(_))) else {
        return marks;
    };
    if let (Some(Mark::Kept { data, .. }), false) = (marks.last(), is_closing(&marks[..at])) {
        if !data.is_empty() {
            let data = Mark::Data(data.clone());
            marks.splice(at..at, [data, Mark::Return]);
        }
    }
    marks
}

/// Whether it matters at which byte it is done.
fn is_effective(mark: &Mark) -> bool {
    matches!(
        mark,
        Mark::Set | Mark::Zero | Mark::Discard | Mark::Close | Mark::Done | Mark::Fail
    )
}

const ALL_PLACES: &[Place] = &[
    Place::Found,
    Place::CountEnd,
    Place::Count,
    Place::Prefix,
    Place::Plain,
];

/// Where `collect_incoming_data` does something, at one of these places.
fn acting<'a>(marks: &'a [Mark], places: &'a [Place]) -> impl Iterator<Item = usize> + 'a {
    (0..marks.len()).filter(|&at| matches!(marks[at], Mark::Acts(place) if places.contains(&place)))
}

/// What the callback does from there on, or all of it.
fn actions(marks: &[Mark], at: usize) -> &[Mark] {
    let len = marks[at..].iter().position(|mark| *mark == Mark::Return);
    &marks[at..at + len.unwrap_or(marks.len() - at)]
}

fn sets(marks: &[Mark], at: usize) -> bool {
    let actions = actions(marks, at);
    actions.contains(&Mark::Set) || actions.contains(&Mark::Zero)
}

/// The end of the callback, with its error if it raises one.
fn callback_end(marks: &[Mark], at: usize) -> usize {
    let end = at + actions(marks, at).len() + 1;
    match marks.get(end) {
        Some(Mark::Error | Mark::Forgiven { .. }) => end + 1,
        _ => end.min(marks.len()),
    }
}

/// Whether the callback is the last one that ours calls.
fn ends(marks: &[Mark], at: usize) -> bool {
    let end = callback_end(marks, at);
    is_closing(&marks[..end]) || marks[end - 1] == Mark::Error
}

fn is_closing(marks: &[Mark]) -> bool {
    marks.iter().any(is_close_or_done)
}

fn is_close_or_done(mark: &Mark) -> bool {
    matches!(mark, Mark::Close | Mark::Done)
}

/// Whether a callback has begun and not returned.
fn is_inside(marks: &[Mark], at: usize) -> bool {
    let last = marks[..at]
        .iter()
        .rfind(|mark| matches!(mark, Mark::Data(_) | Mark::Found(_) | Mark::Return));
    last.is_some_and(|mark| *mark != Mark::Return)
}

fn position(marks: &[Mark], mark: &Mark) -> Option<usize> {
    marks.iter().position(|other| other == mark)
}
