//! Whom samples belong to.

use runtime::http::{HeaderMap, HeaderName};

use crate::storage::tenant_name::{InvalidTenant, check};

/// How a request says which tenant it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// The header that names it.
    pub header: HeaderName,
    /// The tenant when the header is absent.
    pub default: String,
}

impl TenantSettings {
    /// The tenant of a request: `""` for the default one, by whatever road.
    ///
    /// # Errors
    /// When the header names none that can be.
    pub fn of_headers<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, InvalidTenant> {
        let Some(value) = headers.get(&self.header) else {
            return Ok("");
        };
        let name = value.to_str().map_err(|_| InvalidTenant {
            name: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            problem: format!("in the header {} is no text", self.header),
        })?;
        self.canonical(name)
    }

    /// The tenant by its name, `""` for the default one.
    ///
    /// # Errors
    /// When none can have that name.
    pub fn canonical<'h>(&self, name: &'h str) -> Result<&'h str, InvalidTenant> {
        if name.is_empty() || name == self.default {
            return Ok("");
        }
        check(name)?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_tenant() {
        let settings = TenantSettings {
            header: HeaderName::from_static("thanos-tenant"),
            default: "default-tenant".to_owned(),
        };
        let mut headers = HeaderMap::new();
        assert_eq!(settings.of_headers(&headers), Ok(""));
        for (value, expected) in [
            ("default-tenant", Some("")),
            ("", Some("")),
            ("a", Some("a")),
            ("..", None),
        ] {
            headers.insert("THANOS-TENANT", value.parse().unwrap());
            assert_eq!(settings.of_headers(&headers).ok(), expected, "{value}");
        }
    }
}
