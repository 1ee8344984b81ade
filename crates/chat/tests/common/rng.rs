//! Random numbers that can be had again: the seed is printed, and `CHAT_SEED`
//! sets it.

pub(crate) struct Rng(u64);

#[allow(dead_code, reason = "each test uses some of it")]
impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let set = std::env::var("CHAT_SEED").ok();
        let seed = set.and_then(|seed| seed.parse().ok()).unwrap_or(seed);
        println!("CHAT_SEED={seed}");
        Self(seed | 1) // xorshift never leaves zero
    }

    /// A number from 0 to `below` - 1.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % below as u64) as usize
    }

    pub(crate) fn bytes(&mut self, alphabet: &[u8], len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect()
    }
}
