package awsclient

import "regexp"

const masked = "*****"

// Names of the parameters by which S3 (both signatures), CloudFront, Google and Azure sign a URL, and of what forms of STS carry.
const (
	signing = `X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|Signature|access_token`
	forms   = `WebIdentityToken|SAMLAssertion|TokenCode|ExternalId|AccessKeyId|SecretAccessKey|SessionToken`
)

// secretForms are secrets by the place where they stand. The groups of each are kept.
var secretForms = []*regexp.Regexp{
	// The password of a URL.
	regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://[^\s/@:"'<>]*:)[^\s/@"'<>]+(@)`),
	// The query and the password where the URL is the value of a form, in which EC2 is asked.
	regexp.MustCompile(`(?i)(https?%3A%2F%2F[^\s&"'<>]*?%3F)[^\s&"'<>]+`),
	regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*%3A%2F%2F[^\s&"'<>%]*%3A)[^\s&"'<>]+?(%40)`),
	// Parts of a query without its URL, encoded once, twice and three times: a value ends where the next parameter begins.
	regexp.MustCompile(`(?i)(\b(?:` + signing + `|` + forms + `)=)[^\s&"'<>]+`),
	regexp.MustCompile(`(?i)((?:\b|%26|%3F)(?:` + signing + `)%3D)(?:[^\s&"'<>%]|%(?:[013-9a-f][0-9a-f]|2[0-57-9a-f]))+`),
	regexp.MustCompile(`(?i)((?:\b|%2526|%253F)(?:` + signing + `)%253D)` +
		`(?:[^\s&"'<>%]|%(?:[013-9a-f][0-9a-f]|2[0-47-9a-f]|25(?:[013-9a-f][0-9a-f]|2[0-57-9a-f])))+`),
	regexp.MustCompile(`(?i)((?:^|[?&;\s]|%3F|%26|%253F|%2526)sig(?:=|%3D|%253D))[^\s&"'<>]+`),
	// XML elements and JSON members; a log may cut them off.
	regexp.MustCompile(`(?i)(<(?:AccessKeyId|SecretAccessKey|SessionToken)>)[^<]*`),
	regexp.MustCompile(`(?i)("(?:accessKeyId|secretAccessKey|sessionToken|accessToken|refreshToken|idToken|clientSecret|token)"\s*:\s*")[^"]*`),
}

// queryForm is the query of a URL. Anybody may sign a URL by parameters of his own, so all of it is masked unless every name in it is one that openQuery
// knows to carry no secret: those of S3, and of links to the console and the documentation.
var (
	queryForm = regexp.MustCompile(`(?i)(https?://[^\s"'<>?]+\?)([^\s"'<>]+)`)
	openQuery = regexp.MustCompile(`^(?:(?:versionId|x-id|region)=[^&=]*(?:&|$))+$`)
)

// scopeForm is the key id before the scope of a signature, which is no secret.
var scopeForm = regexp.MustCompile(`(?i)(\bCredential=)[^/\s]+`)

// Redact masks what is a secret by its form: the signed parts of URLs, passwords in URLs, keys and tokens by the names that stand before them. Texts of
// others (EC2's messages, errors of the network) go through it before a user sees them.
func Redact(s string) string {
	s = scopeForm.ReplaceAllString(s, "${1}"+masked)
	s = queryForm.ReplaceAllStringFunc(s, func(address string) string {
		parts := queryForm.FindStringSubmatch(address)
		if openQuery.MatchString(parts[2]) {
			return address
		}
		return parts[1] + masked
	})
	for _, form := range secretForms {
		s = form.ReplaceAllString(s, "${1}"+masked+"${2}")
	}
	return s
}
