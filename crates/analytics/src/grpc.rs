//! The service's RPC.

use careeros_shared::{
    db::Db,
    grpc::open,
    proto::analytics::{
        GetKpiSnapshotRequest, GetKpiSnapshotResponse,
        analytics_service_server::{AnalyticsService, AnalyticsServiceServer},
    },
};
use tonic::{Request, Response, Status, service::Routes};

use crate::kpis;

/// What the RPC works with.
#[derive(Debug, Clone)]
pub struct App {
    /// The database `analytics`.
    pub db: Db,
}

impl App {
    /// The RPCs.
    pub fn routes(self) -> Routes {
        Routes::new(AnalyticsServiceServer::new(self))
    }
}

#[tonic::async_trait]
impl AnalyticsService for App {
    async fn get_kpi_snapshot(
        &self,
        request: Request<GetKpiSnapshotRequest>,
    ) -> Result<Response<GetKpiSnapshotResponse>, Status> {
        let (context, message) = open(request)?;
        let tenant_id = kpis::tenant(&context, &message.tenant_id)?;
        Ok(Response::new(kpis::get(&self.db, tenant_id, context.now).await?))
    }
}
