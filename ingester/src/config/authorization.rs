//! Who requests are from: the fields that end as a request's `Authorization` header.

use std::path::Path;

use super::Error;
use super::http::{HttpConfig, Secret, SecretSource, proxy_config, secret, tls_config};
use super::yaml::{Node, Section};

/// The grant of OAuth 2 that is spoken.
const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// A user and a password.
    Basic {
        /// The user.
        username: SecretSource,
        /// The password, if there is one.
        password: Option<SecretSource>,
    },
    /// A scheme, such as `Bearer`, and what follows it.
    Credentials {
        /// The scheme.
        scheme: String,
        /// What follows it.
        credentials: Option<SecretSource>,
    },
    /// A token that a server gives out for a while.
    OAuth2(Box<OAuth2>),
}

/// How tokens are asked for: the client credentials grant of RFC 6749, section 4.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who asks.
    pub client_id: String,
    /// What proves it; a file is read for every request.
    pub client_secret: SecretSource,
    /// What the token is to be good for.
    pub scopes: Vec<String>,
    /// Where tokens are.
    pub token_url: String,
    /// Further fields of the form that asks.
    pub endpoint_params: Vec<(String, String)>,
    /// How tokens are asked for over HTTP: TLS and proxy; there is no authorization in it.
    pub http: HttpConfig,
}

/// Reads the fields that say who asks, which stand among others of `section`.
pub(super) fn authorization(
    section: &mut Section<'_>,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<Authorization>, Error> {
    let mut found = Vec::new();
    found.extend(section.optional("basic_auth", |node| basic(node, dir))?);
    found.extend(section.optional("authorization", |node| credentials(node, dir))?);
    if let Some(bearer) = secret(section, ("bearer_token", "bearer_token_file"), dir)? {
        found.push(Authorization::Credentials {
            scheme: "Bearer".to_owned(),
            credentials: Some(bearer),
        });
    }
    found.extend(section.optional("oauth2", |node| oauth2(node, dir, warnings))?);
    if found.len() > 1 {
        return Err(Error::at(
            section.at,
            "at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured",
        ));
    }
    Ok(found.pop())
}

fn basic(node: &Node, dir: &Path) -> Result<Authorization, Error> {
    let mut section = node.section("config.plain")?;
    let username = secret(&mut section, ("username", "username_file"), dir)?;
    let password = secret(&mut section, ("password", "password_file"), dir)?;
    section.finish()?;
    Ok(Authorization::Basic {
        username: username.unwrap_or(SecretSource::Inline(Secret::default())),
        password,
    })
}

fn credentials(node: &Node, dir: &Path) -> Result<Authorization, Error> {
    let mut section = node.section("config.Authorization")?;
    let mut scheme = "Bearer".to_owned();
    section.set("type", &mut scheme, Node::text)?;
    let credentials = secret(&mut section, ("credentials", "credentials_file"), dir)?;
    section.finish()?;
    if scheme.trim().eq_ignore_ascii_case("basic") {
        return Err(Error::at(
            node.at,
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        ));
    }
    Ok(Authorization::Credentials {
        scheme,
        credentials,
    })
}

fn oauth2(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<Authorization, Error> {
    let mut section = node.section("config.plain")?;
    let wrong = |why: String| Err(Error::at(node.at, why));
    let mut grant = CLIENT_CREDENTIALS.to_owned();
    section.set("grant_type", &mut grant, Node::text)?;
    if !["", CLIENT_CREDENTIALS].contains(&grant.as_str()) {
        return wrong(format!(
            "oauth2 grant_type {grant:?} is not in this build; use {CLIENT_CREDENTIALS}, or authorization with \
             credentials_file"
        ));
    }
    let client_id = section.optional("client_id", Node::text)?;
    let client_secret = secret(&mut section, ("client_secret", "client_secret_file"), dir)?;
    let token_url = section.optional("token_url", Node::text)?;
    let mut http = HttpConfig::default();
    section.set("tls_config", &mut http.tls, |node| tls_config(node, dir))?;
    http.proxy = proxy_config(&mut section, warnings)?;
    let oauth2 = OAuth2 {
        client_id: client_id.unwrap_or_default(),
        client_secret: client_secret.unwrap_or(SecretSource::Inline(Secret::default())),
        scopes: section.optional("scopes", Node::texts)?.unwrap_or_default(),
        token_url: token_url.unwrap_or_default(),
        endpoint_params: section
            .optional("endpoint_params", Node::text_map)?
            .unwrap_or_default(),
        http,
    };
    section.finish()?;
    if oauth2.client_id.is_empty() {
        return wrong("oauth2 client_id must be configured".to_owned());
    }
    if oauth2.token_url.is_empty() {
        return wrong("oauth2 token_url must be configured".to_owned());
    }
    if let Err(why) = oauth2.token_url.parse::<reqwest::Url>() {
        return wrong(format!("oauth2 token_url: {why}"));
    }
    let scoped = |(name, _): &(String, String)| name == "scope";
    if !oauth2.scopes.is_empty() && oauth2.endpoint_params.iter().any(scoped) {
        return wrong("oauth2 endpoint_params cannot have scope beside scopes".to_owned());
    }
    Ok(Authorization::OAuth2(Box::new(oauth2)))
}
