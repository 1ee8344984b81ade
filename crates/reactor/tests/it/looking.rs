//! A look at the channels of a map, and at what the loop has done.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::common::{Log, On, Probe, turn};
use reactor::{Channel, ChannelMap, Moment, Readiness, TimerChannel, Token};

const SECOND: Duration = Duration::from_secs(1);

/// Keeps the loop busy for so long.
fn work(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {}
}

#[test]
fn entries_finds_every_open_channel_with_its_type_and_those_in_a_callback_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    let closed = map.insert(Probe::new("closed", &log)).unwrap();
    let console = Probe::new("console", &log).on(On::Read, move |_, me, map| {
        let mut found: Vec<(Token, Option<&str>)> = map
            .entries()
            .map(|entry| (entry.token(), entry.channel().map(Channel::type_name)))
            .collect();
        found.sort();
        assert_eq!(found.len(), map.len());
        let [(first, kind), (second, None)] = found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((first, second), (timer.token(), me));
        assert!(
            kind.unwrap()
                .starts_with("reactor::timer_channel::TimerChannel<")
        );
        Ok(())
    });
    let console = map.insert(console).unwrap();
    map.close(closed);
    map.dispatch(console, Readiness::READABLE);
    turn(&mut map);
    assert!(log.has("console.read"));
    let entry = map
        .entries()
        .find(|entry| entry.token() == console)
        .unwrap();
    assert!(entry.channel().unwrap().type_name().ends_with("::Probe"));
}

#[test]
fn a_channels_age_survives_a_conversion_and_begins_anew_in_another_map() {
    let mut map = ChannelMap::new().unwrap();
    let start = map.now() + SECOND;
    map.turn_at(start).unwrap();
    let channel = map.insert(Probe::new("a", &Log::default())).unwrap();
    map.turn_at(start + 5 * SECOND).unwrap();
    let other = TimerChannel::new(|_, _, _| Ok(()));
    let channel = map.convert(channel, move |_| other).unwrap();
    let entry = map.entries().next().unwrap();
    assert_eq!((entry.since(), entry.age()), (start, 5 * SECOND));

    let mut second = ChannelMap::new().unwrap();
    second.turn_at(start + 9 * SECOND).unwrap();
    second.insert(map.remove(channel).unwrap()).unwrap();
    let entry = second.entries().next().unwrap();
    assert_eq!(
        (entry.since(), entry.age()),
        (start + 9 * SECOND, Duration::ZERO)
    );

    // Between turns, too, the age is that of the real time.
    let mut real = ChannelMap::new().unwrap();
    let before = Instant::now();
    real.insert(Probe::new("b", &Log::default())).unwrap();
    work(Duration::from_millis(2));
    let entry = real.entries().next().unwrap();
    assert!(entry.since() >= before && entry.age() >= Duration::from_millis(2));
    // One look is of one time.
    let age = entry.age();
    work(Duration::from_millis(2));
    assert_eq!(entry.age(), age);
}

#[test]
fn a_name_stays_through_a_conversion_and_goes_with_its_channel() {
    let mut map = ChannelMap::new().unwrap();
    let channel = map.insert(Probe::new("a", &Log::default())).unwrap();
    assert_eq!(map.name(channel), None);
    assert!(map.set_name(channel, "ada"));
    let other = TimerChannel::new(|_, _, _| Ok(()));
    let channel = map.convert(channel, move |_| other).unwrap();
    assert_eq!(map.name(channel), Some("ada"));
    assert_eq!(map.entries().next().unwrap().name(), Some("ada"));
    assert!(map.set_name(channel, ""));
    assert_eq!(map.name(channel), None);
    map.set_name(channel, "grace");
    map.close(channel);
    turn(&mut map);
    assert_eq!(map.name(channel), None);
    assert!(!map.set_name(channel, "late"));
    assert_eq!(map.name(channel), None);
}

#[test]
fn statistics_count_turns_events_timers_insertions_and_closes() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let [a, b] = ["a", "b"].map(|name| map.insert(Probe::new(name, &log)).unwrap());
    let removed = map.insert(Probe::new("removed", &log)).unwrap();
    map.remove(removed).unwrap();
    map.dispatch(a, Readiness::READABLE);
    map.set_timer(a, map.now());
    map.set_timer(b, map.now() + 100 * SECOND);
    let mut dispatched = turn(&mut map);
    map.close(b);
    dispatched += turn(&mut map);
    let statistics = map.statistics();
    assert_eq!(
        (statistics.turns, statistics.events),
        (2, dispatched as u64)
    );
    assert_eq!((statistics.timers_fired, statistics.events), (1, 2));
    assert_eq!((statistics.inserted, statistics.closed), (3, 1));
    assert_eq!(statistics.measured, None);
}

/// Of each kind of call, alone.
#[test]
fn the_longest_call_is_found_whatever_it_was() {
    const TOOK: Duration = Duration::from_millis(2);
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let expect = |map: &mut ChannelMap, who: Option<Token>| {
        map.set_measuring(true);
        assert_eq!(map.statistics().measured.unwrap().longest, None);
        turn(map);
        let measured = map.statistics().measured.unwrap();
        let longest = measured.longest.unwrap();
        assert!(longest.time >= TOOK, "{measured:?}");
        assert!(longest.time <= measured.busy, "{measured:?}");
        assert!(measured.busy <= measured.elapsed, "{measured:?}");
        assert_eq!(longest.channel, who);
    };
    let slow = |on| {
        Probe::new("slow", &log).on(on, |_, _, _| {
            work(TOOK);
            Ok(())
        })
    };
    let reader = map.insert(slow(On::Read)).unwrap();
    map.dispatch(reader, Readiness::READABLE);
    expect(&mut map, Some(reader.token()));

    let sleeper = map.insert(slow(On::Timer)).unwrap();
    map.set_timer(sleeper, map.now());
    expect(&mut map, Some(sleeper.token()));

    // A close and a post count as the call that asked for them.
    let closed = map.insert(slow(On::Close)).unwrap();
    let closer = Probe::new("closer", &log).on(On::Read, move |_, _, map| {
        map.close(closed);
        Ok(())
    });
    let closer = map.insert(closer).unwrap();
    map.dispatch(closer, Readiness::READABLE);
    expect(&mut map, Some(closer.token()));
    let poster = Probe::new("poster", &log).on(On::Read, move |_, _, map| {
        map.post(reader, |_, _| work(TOOK));
        Ok(())
    });
    let poster = map.insert(poster).unwrap();
    map.dispatch(poster, Readiness::READABLE);
    expect(&mut map, Some(poster.token()));

    assert!(map.remote().run(|_| work(TOOK)).is_ok());
    expect(&mut map, None);

    map.set_measuring(false);
    assert_eq!(map.statistics().measured, None);
}

/// Least of all of the channel that is called next.
#[test]
fn what_was_posted_between_turns_is_nobodys_call() {
    const TOOK: Duration = Duration::from_millis(100);
    let mut map = ChannelMap::new().unwrap();
    let quick = map.insert(Probe::new("quick", &Log::default())).unwrap();
    map.set_measuring(true);
    map.post(quick, |_, _| work(TOOK));
    map.dispatch(quick, Readiness::READABLE);
    turn(&mut map);
    let measured = map.statistics().measured.unwrap();
    assert!(
        measured.longest.unwrap().time < TOOK && measured.busy >= TOOK,
        "{measured:?}"
    );
}

#[test]
fn a_loop_that_waits_is_not_busy() {
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &Log::default())).unwrap();
    turn(&mut map);
    map.set_measuring(true);
    let before = Instant::now();
    map.turn(Some(Duration::from_millis(50))).unwrap();
    let slept = before.elapsed();
    let measured = map.statistics().measured.unwrap();
    assert!(measured.elapsed >= slept, "{measured:?} after {slept:?}");
    assert!(
        measured.busy <= measured.elapsed - Duration::from_millis(45),
        "{measured:?}"
    );
}

/// Channels note the time of the turn; for output that was queued between
/// turns, that is the time at which the turn begins.
#[test]
fn the_buffers_tell_the_time_of_the_turn() {
    let mut map = ChannelMap::new().unwrap();
    let made = map.now();
    let log = Log::default();
    let buffers = map.buffers().clone();
    let (seen, settled) = (Log::default(), Rc::new(Cell::default()));
    let mut probe = Probe::new("a", &log);
    {
        let (buffers, settled) = (buffers.clone(), Rc::clone(&settled));
        probe.on_settle = Some(Box::new(move || {
            settled.set(buffers.time());
            Ok(())
        }));
    }
    let seen_too = seen.clone();
    let probe = probe.on(On::Read, move |_, _, map| {
        let time = map.buffers().time();
        assert_eq!(map.buffers().instant(time), map.now());
        assert_eq!(map.buffers().moment(map.now()), time);
        seen_too.add("read");
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(seen.len(), 1);

    work(Duration::from_millis(3));
    let before = buffers.moment(Instant::now());
    map.touch(probe);
    turn(&mut map);
    let at: Moment = settled.get();
    assert!(at >= before, "{at:?} is before {before:?}");

    assert_eq!(buffers.moment(made - SECOND), Moment::default());
    map.turn_at(made + 7 * SECOND).unwrap();
    assert_eq!(buffers.instant(buffers.time()), made + 7 * SECOND);
}

/// A console reads what the log has printed.
#[test]
fn a_token_is_read_as_it_is_printed() {
    let mut map = ChannelMap::new().unwrap();
    let token = map
        .insert(TimerChannel::new(|_, _, _| Ok(())))
        .unwrap()
        .token();
    assert_eq!(token.to_string().parse(), Ok(token));
    for text in ["", "3", "3#", "#3", "3#0", "3#x", "-1#3", "3#17#2"] {
        assert!(text.parse::<Token>().is_err(), "{text:?}");
    }
    let stranger: Token = "0#999999999999".parse().unwrap();
    assert!(!map.is_open(stranger));
}
