//! Scraping by Prometheus' configuration file: reading it, and reading it again.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use model::Labels;
use parking_lot::Mutex;
use runtime::{Clock, Environment, Error};

use crate::append::Appender;
use crate::config;
use crate::discovery::matching_files;
use crate::flags::Config;
use crate::scrape::{Manager, Settings};

/// The configuration file and what came of it, before anything is scraped.
#[derive(Debug)]
pub(crate) struct Loaded {
    environment: Environment,
    file: Option<PathBuf>,
    config: config::Config,
    external_labels: Labels,
}

/// Scrapes as the configuration file says.
#[derive(Debug)]
pub(crate) struct Scraping {
    environment: Environment,
    file: Option<PathBuf>,
    /// The file that queries are logged to, and how often it was read. Asked for with every query, so not
    /// held while files are read.
    query_log: Mutex<(Option<PathBuf>, u64)>,
    /// What is in force. Held while it is changed.
    current: Mutex<Current>,
    external_labels: Labels,
    manager: Arc<Manager>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    config: config::Config,
    /// As people see it, once somebody asked.
    printed: Option<String>,
}

impl Loaded {
    /// Reads the configuration file, where there is one.
    ///
    /// # Errors
    /// [`Error::Start`] when it cannot be used, [`Error::Flag`] when external labels are said in two
    /// places.
    pub(crate) fn read(config: &Config) -> Result<Self, Error> {
        let loaded = match &config.config_file {
            None => config::Config::default(),
            Some(file) => {
                config::Config::load(file, &config.environment).map_err(|error| Error::Start {
                    action: "load the configuration".to_owned(),
                    source: Box::new(error),
                })?
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!(warning, "configuration");
        }
        let (said, listed) = (&config.tsdb.labels, &loaded.global.external_labels);
        if !said.is_empty() && !listed.is_empty() {
            return Err(Error::Flag {
                flag: "label",
                reason: "external labels are in --config.file already; say them in one place"
                    .to_owned(),
            });
        }
        let external_labels = [said, listed]
            .into_iter()
            .find(|labels| !labels.is_empty())
            .unwrap_or(&config.tsdb.default_labels)
            .clone();
        if external_labels.is_empty() && config.bucket.text().is_some() {
            return Err(Error::Flag {
                flag: "label",
                reason:
                    "no external labels are named, by which blocks in the bucket are told from \
                         those of others; say a label that no other producer has, such as \
                         --label='replica=\"a\"'"
                        .to_owned(),
            });
        }
        Ok(Self {
            environment: config.environment.clone(),
            file: config.config_file.clone(),
            config: loaded,
            external_labels,
        })
    }

    /// External labels of everything that is received here.
    pub(crate) fn external_labels(&self) -> &Labels {
        &self.external_labels
    }

    /// Labels that the configuration file gives to everything that is sent elsewhere.
    pub(crate) fn listed_labels(&self) -> &Labels {
        &self.config.global.external_labels
    }

    /// Where samples are forwarded to.
    pub(crate) fn exports(&self) -> &[config::Export] {
        &self.config.exports
    }

    /// The window for samples that come out of order, in milliseconds, where the file sets it.
    pub(crate) fn out_of_order_window_ms(&self) -> Option<i64> {
        self.config.out_of_order_window_ms
    }

    /// As [`Scraping::fingerprint`].
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(self.file.as_ref(), &self.config.included)
    }

    /// Scraping that is ready to start.
    pub(crate) fn into_scraping(
        self,
        appender: Arc<dyn Appender>,
        clock: Arc<dyn Clock>,
        zeros: bool,
    ) -> Scraping {
        let settings = Settings {
            appender,
            tenant: String::new(),
            clock,
            hostname: runtime::process::host_name(),
            zeros,
        };
        Scraping {
            environment: self.environment,
            file: self.file,
            query_log: Mutex::new((self.config.global.query_log_file.clone(), 0)),
            current: Mutex::new(Current {
                config: self.config,
                printed: None,
            }),
            external_labels: self.external_labels,
            manager: Arc::new(Manager::new(settings)),
        }
    }
}

impl Scraping {
    /// What scrapes.
    pub(crate) fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// Begins to scrape. Call within an async runtime.
    pub(crate) fn start(&self) {
        if let Err(error) = self.manager.reload(&self.current.lock().config) {
            tracing::error!(%error, "not all jobs are scraped");
        }
    }

    /// Ends all scraping.
    pub(crate) fn stop(&self) {
        // Without jobs nothing can fail.
        let _ = self.manager.reload(&config::Config::default());
    }

    /// Reads the file again. Call within an async runtime.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut current = self.current.lock();
        let new =
            config::Config::load(file, &self.environment).map_err(|error| error.to_string())?;
        for warning in &new.warnings {
            tracing::warn!(warning, "configuration");
        }
        if new.global.external_labels != current.config.global.external_labels {
            return Err("external labels changed; restart to change them".to_owned());
        }
        let reloaded = self.manager.reload(&new);
        {
            let mut query_log = self.query_log.lock();
            *query_log = (new.global.query_log_file.clone(), query_log.1 + 1);
        }
        *current = Current {
            config: new,
            printed: None,
        };
        reloaded.map_err(|error| error.to_string())?;
        tracing::info!(file = %file.display(), "configuration was read again");
        Ok(())
    }

    /// Where samples are forwarded to, as of now.
    pub(crate) fn exports(&self) -> Vec<config::Export> {
        self.current.lock().config.exports.clone()
    }

    /// The configuration, as a sidecar reads it for external labels.
    pub(crate) fn config_yaml(&self) -> String {
        let mut current = self.current.lock();
        let Current {
            config, printed, ..
        } = &mut *current;
        let print = || config.printed(&self.external_labels);
        printed.get_or_insert_with(print).clone()
    }

    /// The file that queries are logged to, if the configuration names one, and how often it was read.
    pub(crate) fn query_log(&self) -> (Option<PathBuf>, u64) {
        self.query_log.lock().clone()
    }

    /// What tells whether the files of the configuration changed; the same number for the same bytes.
    pub(crate) fn fingerprint(&self) -> u64 {
        let included = self.current.lock().config.included.clone();
        fingerprint(self.file.as_ref(), &included)
    }
}

fn fingerprint(file: Option<&PathBuf>, included: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for pattern in file.into_iter().chain(included) {
        for file in matching_files(pattern).unwrap_or_default() {
            (&file, fs::read(&file).ok()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: crate::Flags,
    }

    fn read(args: &[&str]) -> Result<Loaded, String> {
        let line = Line::parse_from(std::iter::once(&"ingester").chain(args));
        let environment = Environment::new([("ZONE".into(), "eu".into())]);
        let config = line
            .flags
            .resolve(&environment)
            .map_err(|e| e.to_string())?;
        Loaded::read(&config).map_err(|e| e.to_string())
    }

    #[test]
    fn blocks_are_not_shipped_without_an_identity() {
        let bucket = "--objstore.config=type: FILESYSTEM";
        let error = read(&[bucket]).unwrap_err();
        assert!(error.contains("--label: no external labels"), "{error}");
        assert!(read(&[bucket, "--label=replica=a"]).is_ok());
        assert!(read(&[]).is_ok());
    }

    #[tokio::test]
    async fn what_is_read_again_is_shown_and_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |interval: &str| {
            let text = format!(
                "global: {{scrape_interval: {interval}, query_log_file: q.log}}\nscrape_config_files: [jobs-*.yml]\n"
            );
            fs::write(path("p.yml"), text).unwrap();
        };
        write("7s");
        let loaded = read(&[&format!("--config.file={}", path("p.yml").display())]).unwrap();
        let appender = Arc::new(crate::protocols::testing::Recorder::default());
        let clock = Arc::new(runtime::ManualClock::new(0));
        let scraping = loaded.into_scraping(appender, clock, false);
        assert!(scraping.config_yaml().contains("scrape_interval: 7s"));
        assert_eq!(scraping.query_log(), (Some(path("q.log")), 0));
        let first = scraping.fingerprint();
        assert_eq!(scraping.fingerprint(), first);
        write("8s");
        let second = scraping.fingerprint();
        assert_ne!(second, first);
        assert!(scraping.config_yaml().contains("scrape_interval: 7s"));
        scraping.reload().unwrap();
        assert!(scraping.config_yaml().contains("scrape_interval: 8s"));
        assert_eq!(scraping.query_log().1, 1);
        // A file that is included counts, be it new or changed.
        fs::write(path("jobs-a.yml"), "scrape_configs: []\n").unwrap();
        let third = scraping.fingerprint();
        assert_ne!(third, second);
        fs::write(path("jobs-a.yml"), "scrape_configs:\n").unwrap();
        assert_ne!(scraping.fingerprint(), third);
    }

    #[test]
    fn a_sidecar_sees_what_variables_stand_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yml");
        fs::write(&file, "global:\n  external_labels: {zone: '${ZONE}'}\n").unwrap();
        let loaded = read(&[&format!("--config.file={}", file.display())]).unwrap();
        let zone = Labels::from_pairs([("zone", "eu")]);
        assert_eq!(loaded.external_labels(), &zone);
        assert!(loaded.config.printed(&zone).contains("zone: eu"));
    }
}
