//! A decision allocates nothing: from raw texts to a reason, conditions and all.

use std::hint::black_box;

use portcullis_benches::Shape;
use portcullis_benches::measure::decide;

#[test]
fn a_decision_allocates_nothing() {
    for name in ["W1", "W2", "W5_100", "W6"] {
        let world = Shape::named(name).unwrap().asked(1_000).world(11);
        let policy_set = world.checked();
        let borrowed: Vec<_> = world.questions.iter().map(|question| question.borrow()).collect();
        let counted = allocation_counter::measure(|| {
            for question in &borrowed {
                black_box(decide(&policy_set, question.input()));
            }
        });
        assert_eq!(counted.count_total, 0, "{name}");
    }
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(black_box(vec![0_u8; 100])));
    assert_eq!(counted.count_total, 1);
}
