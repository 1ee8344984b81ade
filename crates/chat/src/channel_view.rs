//! What a channel shows of itself: [`ChannelView`].

use std::fmt;
use std::time::{Duration, Instant};

use reactor::{Channel, ChannelEntry, Token};

use crate::address::Address;
use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::hold::Hold;
use crate::life::Stage;
use crate::offers::Dropped;

/// An open channel, as [`ChatMap::channels`](crate::ChatMap::channels) finds it: where it is
/// connected to, what it is doing, and how much has passed.
///
/// A channel of another crate, such as a [`TimerChannel`](crate::TimerChannel), shows its
/// token, type, name, age and memory only. One that is inside its own callback, such as that of a
/// console that lists the channels, shows its token, name and age. The other methods return
/// `None` or 0 there.
///
/// [`Display`](fmt::Display) writes one line, to be read by people and by `grep`: `key=value`,
/// `-` for nothing, times in seconds. No value has a space, except a name in quotes.
#[derive(Clone, Copy)]
pub struct ChannelView<'map> {
    entry: ChannelEntry<'map>,
    chat: Option<&'map Chat>,
    endpoint: Option<&'map Endpoint>,
}

/// What a channel is doing. [`ChannelView::state`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelState {
    /// A connection is under way.
    Connecting,
    /// It accepts connections.
    Listening,
    /// It has a socket for datagrams.
    Datagrams,
    /// It is connected.
    Open,
    /// It is connected, and takes no more output: its sending half is shut, or will be when
    /// all is sent.
    Shut,
    /// Sending has failed. The input that is left is delivered.
    Failing,
    /// It sends what is queued, and closes then.
    Finishing,
    /// It has sent all, and waits for the peer to close.
    Lingering,
    /// It has closed itself. The map hears of it in this turn or the next.
    Closed,
    /// One of its own callbacks runs.
    InCallback,
    /// It is a channel of another crate.
    Unknown,
}

impl<'map> ChannelView<'map> {
    pub(crate) fn new(entry: ChannelEntry<'map>) -> Self {
        let wire = entry.channel().and_then(|channel| channel.wire());
        let chat = wire.and_then(|wire| wire.downcast_ref::<Chat>());
        let endpoint = match chat {
            Some(chat) => Some(chat.endpoint()),
            None => wire.and_then(|wire| wire.downcast_ref()),
        };
        Self {
            entry,
            chat,
            endpoint,
        }
    }

    /// The endpoint of a channel of this crate that is not inside a callback.
    pub(crate) fn endpoint(&self) -> Option<&'map Endpoint> {
        self.endpoint
    }

    /// The channel's token.
    pub fn token(&self) -> Token {
        self.entry.token()
    }

    /// The [name](reactor::ChannelMap::set_name) that the program has given the channel.
    pub fn name(&self) -> Option<&'map str> {
        self.entry.name()
    }

    /// The name of the channel's type: [`Channel::type_name`](reactor::Channel::type_name).
    pub fn type_name(&self) -> Option<&'static str> {
        Some(self.entry.channel()?.type_name())
    }

    /// What the channel is doing.
    pub fn state(&self) -> ChannelState {
        let Some(endpoint) = self.endpoint else {
            return match self.entry.channel() {
                Some(_) => ChannelState::Unknown,
                None => ChannelState::InCallback,
            };
        };
        match endpoint.life.stage() {
            Stage::Connecting(_) => ChannelState::Connecting,
            Stage::Listening(_) => ChannelState::Listening,
            Stage::Datagrams(_) => ChannelState::Datagrams,
            Stage::Live => ChannelState::Open,
            Stage::Shut => ChannelState::Shut,
            Stage::Failing(_) => ChannelState::Failing,
            Stage::Finishing(_) => ChannelState::Finishing,
            Stage::Lingering(_) => ChannelState::Lingering,
            Stage::Closed(..) => ChannelState::Closed,
        }
    }

    /// The peer's address. Asks the operating system.
    pub fn peer_addr(&self) -> Option<Address> {
        self.endpoint?.peer_addr()
    }

    /// The socket's own address. Asks the operating system.
    pub fn local_addr(&self) -> Option<Address> {
        self.endpoint?.local_addr()
    }

    /// The [holds](Chat::hold) that stop the delivery of messages.
    pub fn holds(&self) -> impl Iterator<Item = Hold> + use<'map> {
        let chat = self.chat;
        Hold::all().filter(move |&hold| chat.is_some_and(|chat| chat.has_hold(hold)))
    }

    /// Whether the channel is held because its answers outrun the peer
    /// ([`set_backpressure`](Chat::set_backpressure)), or because it waits for members
    /// ([`push_from`](crate::ChatMap::push_from)).
    pub fn is_outrun(&self) -> bool {
        self.chat.is_some_and(Chat::is_outrun)
    }

    /// When the channel came into its map. A conversion changes nothing.
    pub fn since(&self) -> Instant {
        self.entry.since()
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.entry.age()
    }

    /// How long no bytes have passed: since the
    /// [last activity](Endpoint::last_activity).
    pub fn idle(&self) -> Option<Duration> {
        let now = self.since() + self.age();
        let last = self.endpoint?.last_activity()?;
        Some(now.saturating_duration_since(last))
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.endpoint.map_or(0, Endpoint::received)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.endpoint.map_or(0, Endpoint::sent)
    }

    /// Bytes queued: [`Endpoint::queued`].
    pub fn queued(&self) -> usize {
        self.endpoint.map_or(0, Endpoint::queued)
    }

    /// Bytes that were received but not delivered: [`Chat::undelivered`].
    pub fn undelivered(&self) -> usize {
        match self.chat {
            Some(chat) => chat.undelivered(),
            None => self.endpoint.map_or(0, |endpoint| endpoint.unread.len()),
        }
    }

    /// Bytes collected of a message that is not complete: [`Chat::partial_message`].
    pub fn partial(&self) -> usize {
        self.chat.map_or(0, |chat| chat.partial_message().len())
    }

    /// Messages delivered: [`Chat::messages`].
    pub fn messages(&self) -> u64 {
        self.chat.map_or(0, Chat::messages)
    }

    /// Bytes that the channel holds of the map's [memory](reactor::ChannelMap::memory). Those
    /// with most are evicted first, unless they are not
    /// [evictable](crate::Limits::evictable). Of a channel of another crate, what it says
    /// that [closing it would free](reactor::Channel::reclaimable).
    pub fn memory(&self) -> usize {
        match self.endpoint {
            Some(endpoint) => endpoint.memory(),
            None => self.entry.channel().map_or(0, Channel::reclaimable),
        }
    }

    /// Offers dropped, and their bytes: [`Endpoint::dropped`].
    pub fn dropped(&self) -> Dropped {
        self.endpoint
            .map_or_else(Dropped::default, Endpoint::dropped)
    }
}

/// One line.
impl fmt::Display for ChannelView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
        let address = |it: Option<Address>| text(it.map(|it| it.to_string().replace(' ', "%20")));
        let seconds = |it: Duration| format!("{:.3}", it.as_secs_f64());
        let outrun = self.is_outrun().then(|| "outrun".to_owned());
        let holds: Vec<String> = self
            .holds()
            .map(|it| it.to_string())
            .chain(outrun)
            .collect();
        let kind = self.type_name().map(|name| name.replace(' ', ""));
        write!(f, "token={} ", self.token())?;
        write!(f, "name={} ", text(self.name().map(|it| format!("{it:?}"))))?;
        write!(f, "state={} type={} ", self.state(), text(kind))?;
        write!(f, "peer={} ", address(self.peer_addr()))?;
        write!(f, "local={} ", address(self.local_addr()))?;
        write!(f, "age={} ", seconds(self.age()))?;
        write!(f, "idle={} ", text(self.idle().map(seconds)))?;
        write!(f, "received={} sent={} ", self.received(), self.sent())?;
        write!(f, "queued={} ", self.queued())?;
        write!(f, "undelivered={} ", self.undelivered())?;
        write!(f, "partial={} memory={} ", self.partial(), self.memory())?;
        write!(f, "messages={} ", self.messages())?;
        write!(f, "dropped={} ", self.dropped().messages)?;
        let holds = (!holds.is_empty()).then(|| holds.join(","));
        write!(f, "holds={}", text(holds))
    }
}

/// The same line.
impl fmt::Debug for ChannelView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One word, in small letters.
impl fmt::Display for ChannelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Listening => "listening",
            Self::Datagrams => "datagrams",
            Self::Open => "open",
            Self::Shut => "shut",
            Self::Failing => "failing",
            Self::Finishing => "finishing",
            Self::Lingering => "lingering",
            Self::Closed => "closed",
            Self::InCallback => "in-callback",
            Self::Unknown => "unknown",
        })
    }
}
