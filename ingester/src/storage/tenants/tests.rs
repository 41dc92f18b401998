use super::super::testing::{START, open, options, write};
use super::*;

fn up() -> [Labels; 1] {
    [Labels::from_pairs([("__name__", "up")])]
}

fn names(tenants: &Tenants) -> Vec<String> {
    tenants.all().iter().map(|t| t.name.to_string()).collect()
}

#[test]
fn tenants_come_to_be_with_their_first_write_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let options = StorageOptions {
        labels: Labels::from_pairs([("region", "eu")]),
        ..options(dir.path(), Layout::PerTenant)
    };
    let tenants = open(options.clone()).unwrap();
    assert!(names(&tenants).is_empty());
    write(&tenants, "", START, &up());
    write(&tenants, "team-a", START, &up());
    assert_eq!(names(&tenants), ["default-tenant", "team-a"]);
    assert!(dir.path().join("team-a/wal").is_dir());
    let expected = Labels::from_pairs([("region", "eu"), ("tenant_id", "team-a")]);
    assert_eq!(tenants.get("team-a").unwrap().labels, expected);
    drop(tenants);

    let tenants = open(options).unwrap();
    assert_eq!(names(&tenants), ["default-tenant", "team-a"]);
    assert_eq!(tenants.get("").unwrap().db.stats().head_series, 1);
    assert!(tenants.get("team-b").is_none());
}

#[test]
fn a_single_tenant_has_the_path_itself() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = open(options(dir.path(), Layout::Single)).unwrap();
    write(&tenants, "", START, &up());
    write(&tenants, "default-tenant", START + 1, &up());
    assert!(dir.path().join("wal").is_dir());
    assert!(tenants.get("").unwrap().labels.is_empty());
    let error = tenants.append("other", &Batch::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("only tenant"), "{error}");
}

#[test]
fn data_in_the_other_layout_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let [one, many] = ["one", "many"].map(|name| dir.path().join(name));
    drop(open(options(&one, Layout::Single)).unwrap());
    let error = open(options(&one, Layout::PerTenant))
        .unwrap_err()
        .to_string();
    assert!(error.contains("one/default-tenant first"), "{error}");
    write(
        &open(options(&many, Layout::PerTenant)).unwrap(),
        "team-a",
        START,
        &up(),
    );
    let error = open(options(&many, Layout::Single))
        .unwrap_err()
        .to_string();
    assert!(error.contains("many/team-a"), "{error}");
}

#[test]
fn names_and_numbers_of_tenants_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let options = StorageOptions {
        tenants_max: 1,
        ..options(dir.path(), Layout::PerTenant)
    };
    let tenants = open(options).unwrap();
    let error = tenants.append("../x", &Batch::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    write(&tenants, "a", START, &up());
    let error = tenants.append("b", &Batch::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(
        error.to_string().contains("--receive.tenants-max"),
        "{error}"
    );
}

#[test]
fn a_tenant_that_cannot_be_opened_does_not_stop_others() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), Layout::PerTenant);
    let tenants = open(options.clone()).unwrap();
    write(&tenants, "a", START, &up());
    write(&tenants, "b", START, &up());
    drop(tenants);
    let wal = dir.path().join("a/wal");
    fs::rename(&wal, dir.path().join("a/away")).unwrap();
    fs::write(&wal, b"a file").unwrap();

    let tenants = open(options.clone()).unwrap();
    assert_eq!(names(&tenants), ["b"]);
    assert_eq!(&*tenants.broken()[0].0, "a");
    let error = tenants.append("a", &Batch::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    fs::remove_file(&wal).unwrap();
    fs::rename(dir.path().join("a/away"), &wal).unwrap();
    tenants.reopen();
    assert_eq!(names(&tenants), ["a", "b"]);
    assert_eq!(tenants.get("a").unwrap().db.stats().head_series, 1);

    // Somebody else has them open.
    let error = open(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn flushing_moves_heads_into_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = open(options(dir.path(), Layout::PerTenant)).unwrap();
    for tenant in ["a", "b"] {
        write(&tenants, tenant, START, &up());
    }
    tenants.flush().unwrap();
    for tenant in tenants.all() {
        let stats = tenant.db.stats();
        assert_eq!((stats.head_series, stats.blocks), (0, 1));
    }
}

#[test]
fn heads_have_limits_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StorageOptions {
        series_max: BTreeMap::from([("small".to_owned(), 1)]),
        ..options(dir.path(), Layout::PerTenant)
    };
    options.db.head.series_max = 2;
    let tenants = open(options).unwrap();
    for (tenant, expected) in [("small", 1), ("other", 2)] {
        let mut batch = Batch::new();
        for name in ["a", "b", "c"] {
            batch.series([("__name__", name)]);
            batch.float(START, 1.0);
        }
        let appended = tenants.append(tenant, &batch).unwrap();
        assert_eq!(appended.floats, expected, "{tenant}");
        assert_eq!(appended.rejected.len(), 3 - expected, "{tenant}");
        let stats = tenants.get(tenant).unwrap().db.stats();
        assert_eq!(stats.head_series, expected, "{tenant}");
    }
    // They may change, for tenants that are open and for those to come.
    let limits = SeriesLimits {
        default: 1,
        by_tenant: BTreeMap::from([("small".to_owned(), 3)]),
    };
    tenants.limit_series(limits);
    for (tenant, expected) in [("small", 3), ("other", 2), ("new", 1)] {
        let mut batch = Batch::new();
        for name in ["a", "b", "c"] {
            batch.series([("__name__", name)]);
            batch.float(START + 1, 1.0);
        }
        let appended = tenants.append(tenant, &batch).unwrap();
        assert_eq!(appended.floats, expected, "{tenant}");
    }
    let reason = tenants.limit("small", Reject::SeriesLimit);
    assert!(reason.contains("3 series and may have 3"), "{reason}");
}
