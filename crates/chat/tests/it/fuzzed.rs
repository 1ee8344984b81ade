//! What the fuzz target `framer` has found worth keeping: see `fuzz/`.

use crate::common::sim;

#[path = "../../../../fuzz/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/framer/mod.rs"]
mod framer;

#[test]
fn whatever_is_asked_of_a_chat_its_callbacks_are_the_models() {
    let packed = include_str!("../../../../fuzz/corpus/framer.hex");
    corpus::each(packed, framer::check);
}
