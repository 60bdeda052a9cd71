//! `/profiles`: a user's profile and skills.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
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

use crate::Done;

type Client = UserProfileServiceClient<Transport>;

/// The routes, answered by the user profile service behind `transport`.
pub fn routes(transport: Transport) -> Router {
    Router::new()
        .route("/profiles/{user_id}", get(get_profile).put(update_profile))
        .route("/profiles/{user_id}/skills", post(upsert_skill).get(list_skills))
        .with_state(Client::new(transport))
}

/// A partial update: fields not sent keep their values.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateProfile {
    full_name: Option<String>,
    title: Option<String>,
    location: Option<String>,
    bio: Option<String>,
    timezone: Option<String>,
}

/// A skill with the user's proficiency in it, 0 to 100.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpsertSkill {
    skill_key: String,
    skill_name: String,
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
