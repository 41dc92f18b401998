//! What is sent to Lookout's gateway: nothing panics, every point that is met is either kept or refused, and what is
//! kept has labels in order.
#![no_main]

use ingester::exposition::Format;
use ingester::protocols::lookout::intake::{Intake, Origin, Step};
use ingester::protocols::lookout::push::{self, Form};
use ingester::protocols::lookout::{Information, Options, Profile, native};
use libfuzzer_sys::fuzz_target;

fn check(intake: &Intake<'_>) {
    let points = &intake.points;
    assert_eq!(points.batch().len() + points.refusals().len(), points.len());
    for series in points.batch().iter() {
        let names: Vec<_> = model::Labels::iter_encoded(series.labels).map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
    }
}

fuzz_target!(|data: &[u8]| {
    let origin = Origin {
        ip: Some("10.0.0.9".to_owned()),
        tags: vec![("app".to_owned(), "a".to_owned())],
        step: Step::parse("10").expect("a number"),
        now_ms: 1_795_226_430_123,
    };
    for profile in [Profile::Lookout, Profile::General] {
        let options = Options { profile, ..Options::default() };
        let decoders: [&dyn Fn(&mut Intake<'_>); 5] = [
            &|intake| _ = native::decode(data, Information::Keep, intake),
            &|intake| _ = push::exposition(data, Form::Text(Format::Text), true, intake),
            &|intake| _ = push::exposition(data, Form::Text(Format::OpenMetrics), true, intake),
            &|intake| _ = push::exposition(data, Form::Protobuf, true, intake),
            &|intake| _ = push::opentsdb(data, options.labels, intake),
        ];
        for decode in decoders {
            let mut intake = Intake::new(&options, options.names, &origin);
            decode(&mut intake);
            check(&intake);
        }
    }
});
