//! What the fuzz target `http` has found worth keeping: see `fuzz/`.

#[path = "../../../fuzz/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/http/mod.rs"]
mod server;
#[path = "../../../crates/chat/tests/it/common/sim.rs"]
#[allow(dead_code, reason = "the tests of that crate use all of it")]
mod sim;

#[test]
fn whatever_is_sent_the_web_server_answers_with_http_and_the_same_however_it_is_cut() {
    let packed = include_str!("../../../fuzz/corpus/http.hex");
    corpus::each(packed, server::check);
}
