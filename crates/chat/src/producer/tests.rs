use super::*;

#[test]
fn a_simple_producer_hands_out_all_of_its_data_by_max_bytes() {
    let data: Vec<u8> = (0..=255).collect();
    for max in [1, 7, 255, 256, 257] {
        let mut producer = SimpleProducer::new(data.clone());
        let mut out = BytesMut::new();
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
    let mut out = BytesMut::new();
    let more = SimpleProducer::new("").more(&mut out, 10).unwrap();
    assert_eq!((more, out.len()), (More::Done, 0));
}
