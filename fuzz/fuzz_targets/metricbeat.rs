//! Bulk requests of Metricbeat: nothing panics, each action that stores has its event, and what an event becomes has
//! labels in order and the event's place among the points.
#![no_main]

use ingester::protocols::metricbeat::bulk::{Chunk, Documents, actions};
use ingester::protocols::metricbeat::event::Context;
use ingester::protocols::metricbeat::{Mapping, Options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(actions) = actions(data) else {
        return;
    };
    for mapping in [Mapping::Paths, Mapping::Lookout] {
        let options = Options { mapping, ..Options::default() };
        let context = Context { options: &options, names: options.names, now_ms: 1, extra: &[("ip", "::1")] };
        let mut documents = Documents::new(&actions);
        let mut chunk = Chunk::default();
        let mut events = 0;
        while documents.next_chunk(&context, &mut chunk) {
            let points = &chunk.points;
            assert_eq!(points.batch().len() + points.refusals().len(), points.len());
            assert!(chunk.events.is_sorted_by_key(|event| (event.action, event.first_point)));
            assert!(chunk.events.iter().all(|event| event.first_point <= points.len()));
            for series in points.batch().iter() {
                let names: Vec<_> = model::Labels::iter_encoded(series.labels).map(|(name, _)| name).collect();
                assert!(names.is_sorted_by(|a, b| a < b));
                assert!(series.floats.iter().all(|float| float.v.is_finite()));
            }
            events += chunk.events.len();
        }
        let expected = actions.iter().filter(|action| action.operation.stores()).count();
        assert_eq!(events, expected);
    }
});
