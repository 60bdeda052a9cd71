//! `/analytics`: a tenant's key figures, for its ADMIN.

use axum::{Json, Router, extract::State};
use careeros_shared::{
    Result,
    extract::{Path, UserContext},
    grpc::Transport,
    proto::analytics::{
        GetKpiSnapshotRequest, GetKpiSnapshotResponse, analytics_service_client::AnalyticsServiceClient,
    },
};

use crate::api::{Api, Area};

mod docs;

type Client = AnalyticsServiceClient<Transport>;

/// The routes with their documentation, answered by the analytics service behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("Analytics", docs::ABOUT, Client::new(transport))
        .get("/analytics/kpi/{tenant_id}", get_kpi, docs::get_kpi())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

async fn get_kpi(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(tenant_id): Path<String>,
) -> Result<Json<GetKpiSnapshotResponse>> {
    let request = GetKpiSnapshotRequest { meta: None, tenant_id };
    Ok(Json(client.get_kpi_snapshot(context.request(request)).await?.into_inner()))
}
