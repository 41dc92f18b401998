//! `bucket web`: the page of a bucket's blocks, for who runs no store gateway there.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Fetcher, Patience};
use model::time::DurationMs;
use runtime::flags::ListenAddress;
use runtime::http::{HttpLimits, Routes, Server, Service};
use runtime::process::{self, Shutdown};
use runtime::web_config::WebConfig;
use runtime::{BucketFlags, Clock, Environment, Error, SystemClock};
use storeapi::block_viewer::{self, Blocks, BlocksApi, MarkApi, Watched};

use super::select::Selection;
use super::{THREADS, open};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    selection: Selection,
    /// Address of the page and the API.
    #[arg(
        long = "http-address",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:10902"
    )]
    http_address: String,
    /// File with TLS, users and headers of the server, in Prometheus' form.
    #[arg(
        long = "http.config",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    web_config: String,
    /// Pause between two looks at the bucket.
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    refresh: DurationMs,
    /// How long a look may take.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: DurationMs,
    /// External label that begins the titles of groups.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    label: String,
    /// Mark no blocks for who asks by POST to /api/v1/blocks/mark.
    #[arg(long = "disable-admin-operations")]
    admin_disabled: bool,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let filters = args.selection.filters(environment)?;
    let bucket = open(&args.bucket, environment, Patience::Background)?;
    let address = ListenAddress::parse(&args.http_address).map_err(|reason| Error::Flag {
        flag: "http-address",
        reason,
    })?;
    let web = WebConfig::read(&args.web_config)?;
    let time = |duration: DurationMs| {
        Duration::from_millis(u64::try_from(duration.0).unwrap_or_default().max(1))
    };
    let (pause, patience) = (time(args.refresh), time(args.timeout));
    process::run(THREADS, async |shutdown: Shutdown| {
        let server = Server::bind(&address, HttpLimits::default()).await?;
        let server = server.with_web(&web)?;
        if let Ok(at) = server.local_addr() {
            // Nobody to tell is no reason to end.
            let _ = writeln!(out, "blocks of {} on http://{at}/", bucket.name());
            let _ = out.flush();
        }
        let seen = Arc::new(Watched::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let marks = MarkApi::new(bucket.clone(), clock, !args.admin_disabled);
        let blocks = BlocksApi::new(Arc::<Watched>::clone(&seen) as Arc<dyn Blocks>, &args.label);
        let service = Service::default();
        let routes = block_viewer::add_to(Routes::new(), blocks, marks);
        service.ready(Arc::new(routes));
        let fetcher = Fetcher::new(bucket.clone(), None, filters);
        tokio::select! {
            () = server.serve(service, shutdown) => {}
            () = seen.look(&fetcher, &SystemClock, pause, patience) => {}
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
