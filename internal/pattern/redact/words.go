package redact

import (
	"bytes"
	"cmp"
	"slices"
)

func sortSpans(spans []span) {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlnum(c byte) bool { return isUpper(c) || isLower(c) || isDigit(c) }

// isTokenByte tells what tokens and keys are made of: base64 in both alphabets,
// and the marks that tokens put between their parts.
func isTokenByte(c byte) bool {
	return isAlnum(c) || c == '_' || c == '-' || c == '.' || c == '+' || c == '/' || c == '=' || c == '~' || c == '$'
}

// words calls yield with every run of at least eight bytes that tokens are made of.
func words(text []byte, yield func(from, to int)) {
	for i := 0; i < len(text); {
		if !isTokenByte(text[i]) {
			i++
			continue
		}
		from := i
		for i < len(text) && isTokenByte(text[i]) {
			i++
		}
		if i-from >= 8 {
			yield(from, i)
		}
	}
}

// issuer is the form of the tokens of one issuer.
type issuer struct {
	prefix string
	min    int // bytes after the prefix
	kind   string
}

// issuers by the first letter of their prefix. The prefixes are those that the
// issuers document, or that their secret scanning partners list.
var issuers = func() (t [256][]issuer) {
	for _, is := range []issuer{
		{"AKIA", 16, "aws-key"},
		{"ASIA", 16, "aws-key"},
		{"ABIA", 16, "aws-key"},
		{"ACCA", 16, "aws-key"},
		{"AIza", 35, "google-key"},
		{"ya29.", 20, "google-token"},
		{"GOCSPX-", 20, "google-secret"},
		{"ghp_", 30, "github-token"},
		{"gho_", 30, "github-token"},
		{"ghu_", 30, "github-token"},
		{"ghs_", 30, "github-token"},
		{"ghr_", 30, "github-token"},
		{"github_pat_", 40, "github-token"},
		{"glpat-", 20, "gitlab-token"},
		{"gldt-", 20, "gitlab-token"},
		{"glrt-", 20, "gitlab-token"},
		{"glptt-", 20, "gitlab-token"},
		{"glcbt-", 20, "gitlab-token"},
		{"glsoat-", 20, "gitlab-token"},
		{"gloas-", 20, "gitlab-token"},
		{"glft-", 20, "gitlab-token"},
		{"glagent-", 20, "gitlab-token"},
		{"ATATT3", 30, "atlassian-token"},
		{"ATCTT3", 30, "atlassian-token"},
		{"ATBB", 28, "bitbucket-token"},
		{"sk_live_", 16, "stripe-key"},
		{"sk_test_", 16, "stripe-key"},
		{"rk_live_", 16, "stripe-key"},
		{"rk_test_", 16, "stripe-key"},
		{"whsec_", 24, "stripe-secret"},
		{"sq0atp-", 20, "square-token"},
		{"sq0csp-", 30, "square-secret"},
		{"EAAAE", 50, "square-token"},
		{"access_token$production$", 40, "paypal-token"},
		{"access_token$sandbox$", 40, "paypal-token"},
		{"rzp_live_", 14, "razorpay-key"},
		{"rzp_test_", 14, "razorpay-key"},
		{"AQE", 60, "adyen-key"},
		{"test_", 30, "mollie-key"},
		{"live_", 30, "mollie-key"},
		{"xoxb-", 20, "slack-token"},
		{"xoxp-", 20, "slack-token"},
		{"xoxa-", 20, "slack-token"},
		{"xoxr-", 20, "slack-token"},
		{"xoxs-", 20, "slack-token"},
		{"xoxe", 20, "slack-token"},
		{"xapp-", 20, "slack-token"},
		{"SG.", 40, "sendgrid-key"},
		{"key-", 32, "mailgun-key"},
		{"npm_", 30, "npm-token"},
		{"pypi-", 50, "pypi-token"},
		{"rubygems_", 40, "rubygems-key"},
		{"dckr_pat_", 20, "docker-token"},
		{"dckr_oat_", 20, "docker-token"},
		{"dop_v1_", 40, "digitalocean-token"},
		{"doo_v1_", 40, "digitalocean-token"},
		{"dor_v1_", 40, "digitalocean-token"},
		{"shpat_", 30, "shopify-token"},
		{"shpss_", 30, "shopify-secret"},
		{"shpca_", 30, "shopify-token"},
		{"hvs.", 20, "vault-token"},
		{"hvb.", 20, "vault-token"},
		{"hf_", 30, "huggingface-token"},
		{"sk-", 32, "api-key"},
		{"dapi", 32, "databricks-token"},
		{"glc_", 30, "grafana-token"},
		{"glsa_", 30, "grafana-token"},
		{"AGE-SECRET-KEY-1", 40, "age-key"},
		{"LTAI", 16, "alibaba-key"},
		{"AKID", 32, "tencent-key"},
		{"NRAK-", 27, "newrelic-key"},
		{"PMAK-", 40, "postman-key"},
		{"lin_api_", 30, "linear-key"},
		{"sbp_", 40, "supabase-token"},
		{"dp.pt.", 40, "doppler-token"},
		{"pul-", 40, "pulumi-token"},
		{"tskey-", 20, "tailscale-key"},
		{"hcp.", 40, "hcp-token"},
		{"FLWSECK", 20, "flutterwave-key"},
		{"HRKU-", 36, "heroku-key"},
		{"figd_", 30, "figma-token"},
		{"ntn_", 40, "notion-token"},
		{"secret_", 40, "notion-token"},
	} {
		t[is.prefix[0]] = append(t[is.prefix[0]], is)
	}
	return t
}()

// known finds tokens by their own form in the run text[from:to].
func known(text []byte, from, to int, add func(from, to int, kind string)) {
	for i := from; i < to; i++ {
		if i > from && isAlnum(text[i-1]) {
			continue // a token begins where a word does
		}
		for _, is := range issuers[text[i]] {
			if to-i < len(is.prefix)+is.min || string(text[i:i+len(is.prefix)]) != is.prefix {
				continue
			}
			body := text[i+len(is.prefix) : to]
			if distinctive(is.prefix) || random(body[:is.min]) {
				add(i, endOfToken(text, i, to), is.kind)
				return
			}
		}
		if text[i] == 'e' && jwt(text[i:to]) {
			add(i, to, "jwt")
			return
		}
	}
	entropy(text, from, to, add)
}

// distinctive tells prefixes that stand in no name of anything else: they have a
// mark of their own, or are long.
func distinctive(prefix string) bool {
	switch prefix {
	case "test_", "live_", "key-", "sk-", "hf_", "SG.", "secret_", "hcp.", "pul-", "ntn_", "glc_", "xoxe":
		return false
	case "AKIA", "ASIA", "ABIA", "ACCA":
		return true
	}
	return !isAlnum(prefix[len(prefix)-1])
}

// endOfToken leaves a full stop at the end of a sentence out of a token.
func endOfToken(text []byte, from, to int) int {
	for to > from && text[to-1] == '.' {
		to--
	}
	return to
}

// jwt tells whether s begins with three parts of base64 of which the first two
// are JSON objects.
func jwt(s []byte) bool {
	if len(s) < 30 || !bytes.HasPrefix(s, []byte("eyJ")) {
		return false
	}
	dot := bytes.IndexByte(s, '.')
	return dot > 8 && len(s) > dot+4 && bytes.HasPrefix(s[dot+1:], []byte("ey"))
}

// random tells whether s is no word: it has digits, or upper and lower case mixed
// beyond the way people write.
func random(s []byte) bool {
	digits, changes := 0, 0
	for i, c := range s {
		if isDigit(c) {
			digits++
		}
		if i > 0 && isUpper(c) != isUpper(s[i-1]) && isAlnum(c) && isAlnum(s[i-1]) {
			changes++
		}
	}
	return digits >= 1 || changes*3 >= len(s)
}

// entropy finds keys without a form: 36 bytes or more of upper case, lower case
// and digits that change as often as chance has it, such as a secret access key of
// AWS, an account key of Azure or the secret of an Azure application.
func entropy(text []byte, from, to int, add func(from, to int, kind string)) {
	// A path or a dotted name is many words.
	for i := from; i < to; {
		start := i
		for i < to && text[i] != '.' && text[i] != '=' {
			i++
		}
		if part := text[start:i]; len(part) >= 36 && len(part) <= 512 && likeChance(part) {
			for i < to && text[i] == '=' {
				i++
			}
			add(start, i, "key")
		}
		i++
	}
}

func likeChance(s []byte) bool {
	var upper, lower, digits, marks, changes int
	kind := func(c byte) int {
		switch {
		case isUpper(c):
			return 1
		case isLower(c):
			return 2
		case isDigit(c):
			return 3
		}
		return 4
	}
	for i, c := range s {
		switch kind(c) {
		case 1:
			upper++
		case 2:
			lower++
		case 3:
			digits++
		default:
			marks++
		}
		if i > 0 && kind(c) != kind(s[i-1]) {
			changes++
		}
	}
	n := len(s)
	mixed := digits*20 >= n && changes*5 >= n*2 || changes*20 >= n*7
	return upper*8 >= n && lower*8 >= n && marks*10 <= n && mixed
}

// privateKeys finds the bodies of PEM blocks of private keys; one that is not
// ended goes on to the end of the text.
func privateKeys(text []byte, add func(from, to int, kind string)) {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("PRIVATE KEY"))
		if i < 0 {
			return
		}
		i += at
		at = i + len("PRIVATE KEY")
		begin := bytes.LastIndex(text[:i], []byte("-----BEGIN"))
		if begin < 0 || i-begin > 40 {
			continue
		}
		end := bytes.Index(text[at:], []byte("-----END"))
		to := len(text)
		if end >= 0 {
			to = at + end
			if close := bytes.Index(text[to+8:], []byte("-----")); close >= 0 {
				to += 8 + close + 5
			}
		}
		add(begin, to, "private-key")
		at = to
	}
}
