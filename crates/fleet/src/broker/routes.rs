//! Which service answers which request. Topics, producer ids and committed offsets are Tansu's. Records
//! are kept here, in [`super::log`]: Tansu's SQLite storage runs several statements per record and
//! asks every partition again and again while a consumer waits, which takes half a core when idle. So
//! are the members of consumer groups, in [`super::groups`]: Tansu leaves partitions without a consumer
//! for good after the wrong member has died.
//!
//! Transactions, access lists, deletions and changes of settings are not offered, and clients are told
//! so by the list of supported requests.

use rama::{Layer as _, Service};
use tansu_broker::service::{coordinator, storage as tansu};
use tansu_sans_io::{ApiKey as _, CreatePartitionsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest};
use tansu_service::{
    BytesFrameLayer, FrameRequestLayer, FrameRouteService, TcpBytesLayer, TcpContext, TcpContextLayer,
};
use tansu_storage::StorageContainer;
use tokio::net::TcpStream;

use super::fetch::Fetch;
use super::groups::Groups;
use super::offsets::Offsets;
use super::partitions::Partitions;
use super::produce::Produce;
use super::topics::Topics;

type Error = tansu_broker::Error;

/// The service that every connection is given.
pub(super) fn service(
    cluster: &str,
    storage: &StorageContainer,
    topics: &Topics,
) -> Result<impl Service<(), TcpStream, Response = (), Error = Error> + Clone, Error> {
    let mut routes = FrameRouteService::<(), Error>::builder();
    for route in [
        tansu::create_topics,
        tansu::metadata,
        tansu::describe_cluster,
        tansu::describe_configs,
        tansu::init_producer_id,
        tansu::find_coordinator,
        tansu::list_groups,
        tansu::delete_groups,
    ] {
        routes = route(routes, storage.clone())?;
    }
    let produce = FrameRequestLayer::<ProduceRequest>::new().into_layer(Produce(topics.clone()));
    let fetch = FrameRequestLayer::<FetchRequest>::new().into_layer(Fetch(topics.clone()));
    let offsets = FrameRequestLayer::<ListOffsetsRequest>::new().into_layer(Offsets(topics.clone()));
    let partitions = FrameRequestLayer::<CreatePartitionsRequest>::new().into_layer(Partitions(topics.clone()));
    let routes = coordinator::services(routes, Groups::new(storage)?)?
        .with_route(ProduceRequest::KEY, produce.boxed())?
        .with_route(FetchRequest::KEY, fetch.boxed())?
        .with_route(ListOffsetsRequest::KEY, offsets.boxed())?
        .with_route(CreatePartitionsRequest::KEY, partitions.boxed())?
        .build()?;
    let context = TcpContext::default().cluster_id(Some(cluster.to_owned()));
    let layers = (TcpContextLayer::new(context), TcpBytesLayer::<()>::default(), BytesFrameLayer::default());
    Ok(layers.into_layer(routes))
}
