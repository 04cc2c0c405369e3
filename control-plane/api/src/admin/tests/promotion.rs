//! Attempts of a token to get rights that it was not given: by a change of itself, by a new token, by the removal of others, and
//! through other organizations or the deployment.

use std::collections::BTreeMap;

use toolgate_model::{ObjectName, Token};

use super::*;

/// Router with the tokens of [`start`] and another organization, and what its callers try.
struct PromotionAttempts {
    router: Router,
    control_api: Arc<MemoryControlApi>,
    _trigger: DrainTrigger,
    tried: usize,
}

impl PromotionAttempts {
    fn start() -> Self {
        let (router, control_api, trigger) = start();
        control_api.organization("rival");
        control_api.token("rival", "rival-admin", AdminRole::Admin, false);
        Self {
            router,
            control_api,
            _trigger: trigger,
            tried: 0,
        }
    }

    fn tokens(&self) -> BTreeMap<ObjectName, Token> {
        let published = self.control_api.published();
        let tokens = published.state.tokens.iter();
        tokens
            .map(|(name, token)| (name.clone(), Token::clone(token)))
            .collect()
    }

    /// Asserts that the request is refused and changes nothing.
    async fn refused(
        &mut self,
        method: &str,
        caller: &str,
        request: &(impl prost::Message + std::fmt::Debug),
    ) {
        let before = self.control_api.published().state.revision();
        let answer = call(&self.router, method, Some(caller), request).await;
        let refusals = [
            Code::PermissionDenied,
            Code::NotFound,
            Code::InvalidArgument,
        ];
        assert!(
            refusals.contains(&answer.code),
            "{caller} {method} {request:?}: {:?}",
            answer.status
        );
        let after = self.control_api.published().state.revision();
        assert_eq!(before, after, "{caller} {method}");
        self.tried += 1;
    }

    /// The token as the API returns it.
    async fn read(&self, name: &str) -> pb::Token {
        let get = GetTokenRequest { name: name.into() };
        let answer = call(&self.router, "Tokens/GetToken", Some("system"), &get).await;
        answer.read()
    }
}

fn own(id: &str) -> String {
    format!("organizations/acme/tokens/{id}")
}

fn create(org: &str, id: &str, spec: TokenSpec) -> CreateTokenRequest {
    CreateTokenRequest {
        parent: format!("organizations/{org}"),
        token_id: id.into(),
        token: Some(pb::Token {
            spec: Some(spec),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn of_role(role: pb::AdminRole) -> TokenSpec {
    TokenSpec {
        admin_role: role as i32,
        ..Default::default()
    }
}

/// The token with a higher role and without an end, in one request for each form of the mask.
fn promotions(mut token: pb::Token) -> Vec<UpdateTokenRequest> {
    let spec = token.spec.get_or_insert_default();
    spec.admin_role = pb::AdminRole::Admin as i32;
    spec.expire_time = None;
    let status = token.status.get_or_insert_default();
    status.system = true;
    status.revoked = false;
    let masks: [&[&str]; 5] = [
        &[],
        &["spec"],
        &["spec.admin_role"],
        &["spec.expire_time"],
        &["status.system"],
    ];
    let request = |paths: &[&str], dry_run| UpdateTokenRequest {
        token: Some(token.clone()),
        update_mask: (!paths.is_empty()).then(|| prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        dry_run,
        ..Default::default()
    };
    let each = masks.iter().map(|paths| request(paths, false));
    each.chain([request(&[], true)]).collect()
}

#[tokio::test]
async fn ti_11_a_lower_role_gets_no_higher_one_in_any_way() {
    let mut attempts = PromotionAttempts::start();
    let before = attempts.tokens();
    for caller in ["viewer", "editor"] {
        for role in [
            pb::AdminRole::Unspecified,
            pb::AdminRole::Viewer,
            pb::AdminRole::Editor,
            pb::AdminRole::Admin,
        ] {
            let mut request = create("acme", "mine", of_role(role));
            attempts
                .refused("Tokens/CreateToken", caller, &request)
                .await;
            request.dry_run = true;
            attempts
                .refused("Tokens/CreateToken", caller, &request)
                .await;
        }
        for token in ["viewer", "editor", "admin", "system"] {
            let name = own(token);
            for request in promotions(attempts.read(&name).await) {
                attempts
                    .refused("Tokens/UpdateToken", caller, &request)
                    .await;
            }
            // A role would also be higher if the tokens above it were gone.
            let revoke = RevokeTokenRequest {
                name: name.clone(),
                ..Default::default()
            };
            attempts
                .refused("Tokens/RevokeToken", caller, &revoke)
                .await;
            let delete = DeleteTokenRequest {
                name,
                ..Default::default()
            };
            attempts
                .refused("Tokens/DeleteToken", caller, &delete)
                .await;
        }
        let organization = pb::Organization {
            metadata: Some(pb::Metadata {
                name: "organizations/acme".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let update = UpdateOrganizationRequest {
            organization: Some(organization),
            ..Default::default()
        };
        attempts
            .refused("Organizations/UpdateOrganization", caller, &update)
            .await;
    }
    assert!(before == attempts.tokens());
    assert!(attempts.tried >= 80, "{}", attempts.tried);
}

#[tokio::test]
async fn ti_11_an_admin_of_an_organization_gets_no_other_organization_and_not_the_deployment() {
    let mut attempts = PromotionAttempts::start();
    let before = attempts.tokens();
    let admin = of_role(pb::AdminRole::Admin);
    for request in [
        create("rival", "mine", admin.clone()),
        create("rival", "rival-admin", admin.clone()),
        create("acme", "system", admin.clone()),
        create("nowhere", "mine", admin.clone()),
        create("*", "mine", admin.clone()),
        create("acme/../rival", "mine", admin.clone()),
        create("", "mine", admin.clone()),
    ] {
        let answer = call(
            &attempts.router,
            "Tokens/CreateToken",
            Some("admin"),
            &request,
        );
        assert_ne!(answer.await.code, Code::Ok, "{request:?}");
    }
    for name in [
        own("system"),
        "organizations/rival/tokens/rival-admin".to_owned(),
    ] {
        for request in promotions(attempts.read(&name).await) {
            attempts
                .refused("Tokens/UpdateToken", "admin", &request)
                .await;
        }
        let revoke = RevokeTokenRequest {
            name: name.clone(),
            ..Default::default()
        };
        attempts
            .refused("Tokens/RevokeToken", "admin", &revoke)
            .await;
        let delete = DeleteTokenRequest {
            name,
            ..Default::default()
        };
        attempts
            .refused("Tokens/DeleteToken", "admin", &delete)
            .await;
    }
    let organization = CreateOrganizationRequest {
        organization_id: "mine".into(),
        ..Default::default()
    };
    attempts
        .refused("Organizations/CreateOrganization", "admin", &organization)
        .await;
    for name in ["organizations/acme", "organizations/rival"] {
        let delete = DeleteOrganizationRequest {
            name: name.into(),
            ..Default::default()
        };
        attempts
            .refused("Organizations/DeleteOrganization", "admin", &delete)
            .await;
    }
    let join = CreateJoinTokenRequest::default();
    attempts
        .refused("Proxies/CreateJoinToken", "admin", &join)
        .await;
    assert!(before == attempts.tokens());
}

/// The status is written by the control plane only: a request that holds another one changes the rest.
#[tokio::test]
async fn ti_11_no_admin_makes_a_system_token_or_revives_a_revoked_one() {
    let attempts = PromotionAttempts::start();
    for request in promotions(attempts.read(&own("admin")).await) {
        // Accepted or not, depending on the mask.
        let method = "Tokens/UpdateToken";
        let _answer = call(&attempts.router, method, Some("admin"), &request).await;
        assert!(!attempts.read(&own("admin")).await.status.unwrap().system);
    }
    let mut request = create("acme", "mine", of_role(pb::AdminRole::Admin));
    if let Some(token) = &mut request.token {
        token.status.get_or_insert_default().system = true;
    }
    let method = "Tokens/CreateToken";
    let made = call(&attempts.router, method, Some("admin"), &request).await;
    let made: CreateTokenResponse = made.read();
    assert!(!made.token.unwrap().status.unwrap().system);
    let revoke = RevokeTokenRequest {
        name: own("mine"),
        ..Default::default()
    };
    let revoked = call(
        &attempts.router,
        "Tokens/RevokeToken",
        Some("admin"),
        &revoke,
    )
    .await;
    assert_eq!(revoked.code, Code::Ok);
    for request in promotions(attempts.read(&own("mine")).await) {
        // The revoked token itself, and another one of its organization.
        for caller in [made.secret.as_str(), "admin"] {
            let method = "Tokens/UpdateToken";
            let _answer = call(&attempts.router, method, Some(caller), &request).await;
            let status = attempts.read(&own("mine")).await.status.unwrap();
            assert!(status.revoked && !status.system);
        }
    }
    let systems = attempts.tokens();
    let systems = systems.values().filter(|token| token.system);
    assert_eq!(systems.count(), 1);
}
