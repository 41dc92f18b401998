//! Whom samples belong to.

use runtime::http::{HeaderMap, HeaderName};

/// Bytes of a tenant's name: it becomes a directory.
const TENANT_BYTES_MAX: usize = 150;

/// A name that no tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant {} is not valid; use up to {TENANT_BYTES_MAX} letters, digits and !-_.*'()~ other than . and ..", model::labels::quoted(.0))]
pub struct InvalidTenant(pub String);

/// How a request says which tenant it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// The header that names it.
    pub header: HeaderName,
    /// The tenant when the header is absent.
    pub default: String,
}

/// Checks that a name is safe as one segment of a path, on every file system and in every bucket.
pub(super) fn check(name: &str) -> Result<(), InvalidTenant> {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"!-_.*'()~".contains(&b);
    let is_valid = !name.is_empty()
        && name.len() <= TENANT_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(is_safe);
    if is_valid {
        return Ok(());
    }
    Err(InvalidTenant(name.chars().take(64).collect()))
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
        let name = value.to_str().map_err(|_| InvalidTenant(String::new()))?;
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
    fn tenants_are_segments_of_a_path() {
        for name in ["a", "team-7.prod", "A_b(c)"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let long = "a".repeat(TENANT_BYTES_MAX + 1);
        for name in ["", ".", "..", "a/b", "a\\b", "a b", "é", "a\0", &long] {
            assert!(check(name).is_err(), "{name}");
        }
    }

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
