//! `/analytics`: a tenant's key figures, for its ADMIN.

use axum::{Json, Router, extract::State, routing::get};
use careeros_shared::{
    Result,
    extract::{Path, UserContext},
    grpc::Transport,
    proto::analytics::{
        GetKpiSnapshotRequest, GetKpiSnapshotResponse, analytics_service_client::AnalyticsServiceClient,
    },
};

type Client = AnalyticsServiceClient<Transport>;

/// The routes, answered by the analytics service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    Router::new().route("/analytics/kpi/{tenant_id}", get(get_kpi)).with_state(Client::new(transport))
}

async fn get_kpi(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(tenant_id): Path<String>,
) -> Result<Json<GetKpiSnapshotResponse>> {
    let request = GetKpiSnapshotRequest { meta: None, tenant_id };
    Ok(Json(client.get_kpi_snapshot(context.request(request)).await?.into_inner()))
}
