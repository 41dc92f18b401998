//! The client.

use std::fmt;

use model::ErrorKind;
use prost::Message;
use proto::thanos::exemplars_client::ExemplarsClient;
use proto::thanos::metadata_client::MetadataClient;
use proto::thanos::rules_client::RulesClient;
use proto::thanos::status_client::StatusClient;
use proto::thanos::targets_client::TargetsClient;
use proto::thanos::{
    exemplars_response, metric_metadata_response, rules_response, targets_response,
    tsdb_statistics_response,
};
use runtime::grpc::{BoundedChannel, MessageLimit};
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use super::super::client::{Asking, with_tenant};
use crate::catalog::{
    Answer, Answering, Catalog, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup,
    RulesRequest, SeriesExemplars, StatisticsByTenant, StatisticsRequest, Targets, TargetsRequest,
};
use crate::store::StoreError;
use crate::wire::{catalog as wire, statistics};

/// A catalog behind gRPC.
#[derive(Clone)]
pub struct GrpcCatalog {
    channel: BoundedChannel,
    /// How large an answer may be.
    limit: MessageLimit,
    asking: Asking,
}

impl fmt::Debug for GrpcCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCatalog")
            .field("address", &self.asking.address)
            .finish_non_exhaustive()
    }
}

impl GrpcCatalog {
    /// The catalog at the end of a connection, asked like other methods of its endpoint.
    pub(in super::super) const fn new(
        channel: Channel,
        limit: MessageLimit,
        asking: Asking,
    ) -> Self {
        Self {
            channel: BoundedChannel::new(channel, limit),
            limit,
            asking,
        }
    }

    /// Gives the messages of the answer of the method at `path` to `take`, all of them together no
    /// larger than one may be.
    async fn receive<M: Message + Default>(
        &self,
        path: &'static str,
        calling: impl Future<Output = Result<Response<Streaming<M>>, Status>>,
        mut take: impl FnMut(M) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let asking = Asking {
            path,
            ..self.asking.clone()
        };
        let mut running = asking.started();
        let mut messages = asking.wait(&mut running, calling).await?.into_inner();
        let mut bytes = 0;
        loop {
            let next = messages.message();
            let Some(message) = asking.wait(&mut running, next).await? else {
                running.end(Code::Ok);
                return Ok(());
            };
            bytes += message.encoded_len();
            if bytes > self.limit.bytes {
                let limit = self.limit;
                return Err(StoreError::new(
                    ErrorKind::Exhausted,
                    format!(
                        "the answer has {bytes} bytes or more, and the limit of the asker is {limit}; ask for less, or raise it"
                    ),
                ));
            }
            take(message)?;
        }
    }
}

impl Catalog for GrpcCatalog {
    fn rules(&self, request: RulesRequest) -> Answering<Vec<RuleGroup>> {
        use rules_response::Result as Said;
        let this = self.clone();
        Box::pin(async move {
            let asked = wire::rules_request_to_wire(&request);
            let asked = with_tenant(asked, &request.asker.tenant)?;
            let client = RulesClient::new(this.channel.clone());
            let mut client = client.max_decoding_message_size(usize::MAX);
            let mut answer = Answer::<Vec<RuleGroup>>::default();
            let take = |message: proto::thanos::RulesResponse| {
                match message.result {
                    Some(Said::Group(group)) => answer.data.push(wire::group_from_wire(group)?),
                    Some(Said::Warning(text)) => answer.warnings.push(text),
                    None => {}
                }
                Ok(())
            };
            this.receive("/thanos.Rules/Rules", client.rules(asked), take)
                .await?;
            Ok(answer)
        })
    }

    fn targets(&self, request: TargetsRequest) -> Answering<Targets> {
        use targets_response::Result as Said;
        let this = self.clone();
        Box::pin(async move {
            let asked = wire::targets_request_to_wire(&request);
            let asked = with_tenant(asked, &request.asker.tenant)?;
            let client = TargetsClient::new(this.channel.clone());
            let mut client = client.max_decoding_message_size(usize::MAX);
            let mut answer = Answer::<Targets>::default();
            let take = |message: proto::thanos::TargetsResponse| match message.result {
                Some(Said::Targets(targets)) => {
                    wire::add_targets_from_wire(targets, &mut answer.data)
                }
                Some(Said::Warning(text)) => {
                    answer.warnings.push(text);
                    Ok(())
                }
                None => Ok(()),
            };
            this.receive("/thanos.Targets/Targets", client.targets(asked), take)
                .await?;
            Ok(answer)
        })
    }

    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric> {
        use metric_metadata_response::Result as Said;
        let this = self.clone();
        Box::pin(async move {
            let asked = wire::metadata_request_to_wire(&request);
            let asked = with_tenant(asked, &request.asker.tenant)?;
            let client = MetadataClient::new(this.channel.clone());
            let mut client = client.max_decoding_message_size(usize::MAX);
            let mut answer = Answer::<MetadataByMetric>::default();
            let take = |message: proto::thanos::MetricMetadataResponse| {
                match message.result {
                    Some(Said::Metadata(more)) => {
                        wire::add_metadata_from_wire(more, &mut answer.data);
                    }
                    Some(Said::Warning(text)) => answer.warnings.push(text),
                    None => {}
                }
                Ok(())
            };
            this.receive(
                "/thanos.Metadata/MetricMetadata",
                client.metric_metadata(asked),
                take,
            )
            .await?;
            Ok(answer)
        })
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        use exemplars_response::Result as Said;
        let this = self.clone();
        Box::pin(async move {
            let asked = wire::exemplars_request_to_wire(&request);
            let asked = with_tenant(asked, &request.asker.tenant)?;
            let client = ExemplarsClient::new(this.channel.clone());
            let mut client = client.max_decoding_message_size(usize::MAX);
            let mut answer = Answer::<Vec<SeriesExemplars>>::default();
            let take = |message: proto::thanos::ExemplarsResponse| {
                match message.result {
                    Some(Said::Data(data)) => answer.data.push(wire::exemplars_from_wire(&data)?),
                    Some(Said::Warning(text)) => answer.warnings.push(text),
                    None => {}
                }
                Ok(())
            };
            this.receive("/thanos.Exemplars/Exemplars", client.exemplars(asked), take)
                .await?;
            Ok(answer)
        })
    }

    fn statistics(&self, request: StatisticsRequest) -> Answering<StatisticsByTenant> {
        use tsdb_statistics_response::Result as Said;
        let this = self.clone();
        Box::pin(async move {
            let asked = statistics::request_to_wire(&request);
            let asked = with_tenant(asked, &request.asker.tenant)?;
            let client = StatusClient::new(this.channel.clone());
            let mut client = client.max_decoding_message_size(usize::MAX);
            let mut answer = Answer::<StatisticsByTenant>::default();
            let take = |message: proto::thanos::TsdbStatisticsResponse| {
                match message.result {
                    Some(Said::Statistics(more)) => {
                        statistics::add_from_wire(more, &mut answer.data);
                    }
                    Some(Said::Warning(text)) => answer.warnings.push(text),
                    None => {}
                }
                Ok(())
            };
            this.receive(
                "/thanos.Status/TSDBStatistics",
                client.tsdb_statistics(asked),
                take,
            )
            .await?;
            Ok(answer)
        })
    }
}
