//! `/profiles`: a user's profile and skills.

use axum::{Json, Router, extract::State};
use careeros_shared::{
    Result,
    extract::{self, Path, UserContext},
    grpc::Transport,
    proto::userprofile::{
        GetProfileRequest, GetProfileResponse, GetUserSkillMatrixRequest, GetUserSkillMatrixResponse,
        UpdateProfileRequest, UpsertSkillRequest, user_profile_service_client::UserProfileServiceClient,
    },
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    Done,
    api::{Api, Area},
};

mod docs;

type Client = UserProfileServiceClient<Transport>;

/// The routes with their documentation, answered by the user profile service behind `transport`.
pub fn api(transport: Transport) -> Api {
    Area::new("Profiles", docs::ABOUT, Client::new(transport))
        .get("/profiles/{user_id}", get_profile, docs::get_profile())
        .put("/profiles/{user_id}", update_profile, docs::update_profile())
        .post("/profiles/{user_id}/skills", upsert_skill, docs::upsert_skill())
        .get("/profiles/{user_id}/skills", list_skills, docs::list_skills())
        .build()
}

/// The routes alone.
pub fn routes(transport: Transport) -> Router {
    api(transport).into_router()
}

/// A partial update: fields not sent keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateProfile {
    #[schema(max_length = 255)]
    full_name: Option<String>,
    #[schema(max_length = 255)]
    title: Option<String>,
    #[schema(max_length = 128)]
    location: Option<String>,
    #[schema(max_length = 10_000)]
    bio: Option<String>,
    /// An IANA name such as `Europe/Berlin`; days and weeks of learning follow it.
    timezone: Option<String>,
}

/// A skill with the user's proficiency in it, 0 to 100.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpsertSkill {
    #[schema(min_length = 1, max_length = 128)]
    skill_key: String,
    #[schema(min_length = 1, max_length = 255)]
    skill_name: String,
    /// Kept with two decimals.
    #[schema(minimum = 0, maximum = 100)]
    proficiency: f64,
}

async fn get_profile(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetProfileResponse>> {
    let request = GetProfileRequest { meta: None, user_id };
    Ok(Json(client.get_profile(context.request(request)).await?.into_inner()))
}

async fn update_profile(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
    extract::Json(body): extract::Json<UpdateProfile>,
) -> Result<Json<Done>> {
    let request = UpdateProfileRequest {
        meta: None,
        user_id,
        full_name: body.full_name,
        title: body.title,
        location: body.location,
        bio: body.bio,
        timezone: body.timezone,
    };
    Ok(Json(client.update_profile(context.request(request)).await?.into_inner().into()))
}

async fn upsert_skill(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
    extract::Json(body): extract::Json<UpsertSkill>,
) -> Result<Json<Done>> {
    let request = UpsertSkillRequest {
        meta: None,
        user_id,
        skill_key: body.skill_key,
        skill_name: body.skill_name,
        proficiency: body.proficiency,
    };
    Ok(Json(client.upsert_skill(context.request(request)).await?.into_inner().into()))
}

async fn list_skills(
    State(mut client): State<Client>,
    UserContext(context): UserContext,
    Path(user_id): Path<String>,
) -> Result<Json<GetUserSkillMatrixResponse>> {
    let request = GetUserSkillMatrixRequest { meta: None, user_id };
    Ok(Json(client.get_user_skill_matrix(context.request(request)).await?.into_inner()))
}
