package redact

import "bytes"

// Names of what is secret. A name ends with one of these, in either case, with
// any of "-", "_" and "." left out: db_password, X-Api-Key, clientSecret.
var (
	// secretNames are secret whatever their value looks like.
	secretNames = []string{
		"password", "passwd", "passphrase", "pwd", "passcode", "secret", "secretkey", "apikey", "accesskey", "privatekey",
		"secretaccesskey", "clientsecret", "accountkey", "sharedaccesskey", "authkey", "signingkey", "encryptionkey",
		"accesstoken", "refreshtoken", "idtoken", "authtoken", "sessiontoken", "bearertoken", "apitoken", "xauthtoken",
		"csrftoken", "xsrftoken", "securitytoken", "authorization", "proxyauthorization", "credential", "credentials",
		"sessionid", "jsessionid", "phpsessid", "connectsid", "connectionstring",
	}
	// tokenNames are secret if their value looks like one.
	tokenNames = []string{"token", "pass", "sig", "signature", "auth", "key", "sid", "otp", "pin", "cvv", "cvc", "pw"}
	// headerNames are secret to the end of the line or quote.
	headerNames = []string{"cookie", "setcookie"}
)

var (
	secretSet = setOf(secretNames)
	tokenSet  = setOf(tokenNames)
	headerSet = setOf(headerNames)
)

func setOf(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}

// Names tells whether value, which stands after name as in "password: x", is a
// secret because of it.
func Names(name, value []byte) bool {
	switch kindOfName(name, len(name)) {
	case secretName, headerName:
		return true
	case tokenName:
		word, _, _ := bytes.Cut(bytes.TrimLeft(value, " "), []byte{' '})
		return looksSecret(word)
	}
	return false
}

// named finds the values of names that are secret, and of the schemes of
// authorization: name=value, name: value, "name":"value", Bearer value.
func named(text []byte, add func(from, to int, kind string)) {
	for i, c := range text {
		switch c {
		case '=', ':':
			value := afterSeparator(text, i)
			if value < 0 {
				continue
			}
			switch kindOfName(text, i) {
			case secretName:
				if to := endOfValue(text, value); to > value && !harmless(text[value:to]) {
					if s := scheme(text[value:to]); s > 0 {
						value, to = schemeValue(text, value+s)
					}
					add(value, to, "secret")
				}
			case tokenName:
				if to := endOfValue(text, value); looksSecret(text[value:to]) {
					add(value, to, "secret")
				}
			case headerName:
				if to := endOfHeader(text, value); to-value > 3 {
					add(value, to, "cookie")
				}
			}
		case ' ':
			if n := schemeBefore(text, i); n > 0 {
				from, to := schemeValue(text, i)
				if looksSecret(text[from:to]) {
					add(from, to, "authorization")
				}
			}
		}
	}
}

// afterSeparator is where the value after the separator at i begins, -1 where
// what stands there separates nothing: "://", "::", "==".
func afterSeparator(text []byte, i int) int {
	j := i + 1
	if j < len(text) && (text[j] == '/' && text[i] == ':' || text[j] == text[i]) || i > 0 && text[i-1] == text[i] {
		return -1
	}
	if j < len(text) && text[i] == ':' && text[j] == '=' {
		return -1
	}
	for j < len(text) && text[j] == ' ' && j-i <= 2 {
		j++
	}
	for j < len(text) && (text[j] == '"' || text[j] == '\'' || text[j] == '\\' || text[j] == '[' && j+1 < len(text) && text[j+1] == '"') {
		j++
	}
	if j >= len(text) {
		return -1
	}
	return j
}

const (
	otherName = iota
	secretName
	tokenName
	headerName
)

// kindOfName says what the name that ends before the separator at i names.
func kindOfName(text []byte, i int) int {
	var name [24]byte
	at := len(name)
	j := i
	for j > 0 && (text[j-1] == '"' || text[j-1] == '\'' || text[j-1] == '\\' || text[j-1] == ' ' && j == i) {
		j--
	}
	camel := at // where the last word of a camelCase name begins
	parts := at // where the last part of a name of parts begins
	for j > 0 && at > 0 {
		c := text[j-1]
		switch {
		case isUpper(c):
			at--
			name[at] = c | 0x20
			if camel == len(name) && j < len(text) && isLower(text[j]) {
				camel = at
			}
		case isAlnum(c):
			at--
			name[at] = c
		case c == '_' || c == '-' || c == '.':
			if parts == len(name) {
				parts = at
			}
		default:
			return classify(name[at:], name[min(parts, camel, len(name)):], name[parts:])
		}
		j--
	}
	return classify(name[at:], name[min(parts, camel, len(name)):], name[parts:])
}

// classify looks a name up as a whole, then by its last words.
func classify(whole, tail, last []byte) int {
	for n := len(whole); n >= 3; n-- {
		s := whole[len(whole)-n:]
		if secretSet[string(s)] && (n == len(whole) || n >= 6) {
			return secretName
		}
	}
	switch {
	case headerSet[string(whole)]:
		return headerName
	case tokenSet[string(whole)], tokenSet[string(tail)], tokenSet[string(last)]:
		return tokenName
	}
	return otherName
}

// endOfValue is where the value that begins at i ends: at its quote, or at what
// cannot be part of it.
func endOfValue(text []byte, i int) int {
	var quote byte
	if q := text[i-1]; q == '"' || q == '\'' {
		quote = q
	}
	to := i
	for to < len(text) {
		c := text[to]
		if quote != 0 {
			if c == quote && text[to-1] != '\\' || c == '\\' && to+1 < len(text) && text[to+1] == quote && i >= 2 && text[i-2] == '\\' {
				return to
			}
		} else if c <= ' ' && (to == i || scheme(text[i:to]) != to-i) || bytes.IndexByte([]byte(",;&\"'})<>"), c) >= 0 || c == ']' && text[i] != '[' {
			return to
		}
		to++
	}
	return to
}

// endOfHeader is where the value of a header that begins at i ends.
func endOfHeader(text []byte, i int) int {
	to := i
	for to < len(text) && bytes.IndexByte([]byte("\"\n\r"), text[to]) < 0 && (text[to] != '\'' || i == 0 || text[i-1] != '\'') {
		to++
	}
	return to
}

// harmless tells values that stand for none.
func harmless(v []byte) bool {
	switch string(bytes.ToLower(v[:min(len(v), 12)])) {
	case "null", "nil", "none", "true", "false", "undefined", "***", "****", "*****", "******", "********", "<nil>", "<redacted>", "[redacted]",
		"redacted", "yes", "no", "-", "{", "[", "{}", "[]", "(", "empty", "required", "invalid", "expired", "missing", "unset", "set", "not":
		return true
	}
	return bytes.HasPrefix(v, []byte("[redacted")) || bytes.HasPrefix(v, []byte("[REDACTED")) || len(bytes.Trim(v, "*x•.")) == 0
}

// looksSecret tells whether a value is long and mixed enough for a secret.
func looksSecret(v []byte) bool {
	if len(v) < 8 || harmless(v) {
		return false
	}
	var letters, digits, other int
	for _, c := range v {
		switch {
		case isDigit(c):
			digits++
		case isAlnum(c):
			letters++
		case c == '{' || c == '(' || c == '@' || c == '$' && v[0] == '$' || c >= 0x80 || c == ':' || c == '/' && v[0] == '/':
			return false
		default:
			other++
		}
	}
	return letters > 0 && (digits >= 2 && len(v) >= 10 || digits > 0 && len(v) >= 16 || len(v) >= 24 && other == 0 && random(v))
}

var schemes = []string{"bearer", "basic", "token", "apikey", "digest", "negotiate", "aws4-hmac-sha256"}

// scheme is the length of the scheme of authorization that v begins with, 0 if
// with none.
func scheme(v []byte) int {
	for _, s := range schemes {
		if len(v) >= len(s) && bytes.EqualFold(v[:len(s)], []byte(s)) && (len(v) == len(s) || v[len(s)] == ' ') {
			return len(s)
		}
	}
	return 0
}

// schemeBefore is the length of the scheme that ends before the space at i.
func schemeBefore(text []byte, i int) int {
	for _, s := range schemes {
		n := len(s)
		if i >= n && (i == n || !isAlnum(text[i-n-1])) && bytes.EqualFold(text[i-n:i], []byte(s)) {
			return n
		}
	}
	return 0
}

// schemeValue is the credentials after a scheme that ends at i.
func schemeValue(text []byte, i int) (from, to int) {
	for i < len(text) && text[i] == ' ' {
		i++
	}
	from = i
	for i < len(text) && isTokenByte(text[i]) {
		i++
	}
	return from, i
}

// urls finds the passwords of URLs: scheme://user:password@host.
func urls(text []byte, add func(from, to int, kind string)) {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("://"))
		if i < 0 {
			return
		}
		from := at + i + 3
		at = from
		colon, end, host := -1, -1, from
		for ; host < len(text) && host-from < 512; host++ {
			c := text[host]
			if c <= ' ' || c == '/' || c == '"' || c == '\'' || c == '>' || c == '<' {
				break
			}
			if c == ':' && colon < 0 {
				colon = host
			}
			if c == '@' {
				end = host
			}
		}
		switch {
		case end > 0 && colon >= from && colon < end:
			add(colon+1, end, "password")
		case end > from && end-from >= 20 && random(text[from:end]):
			add(from, end, "token") // https://TOKEN@forge/
		}
		webhooks(text, from, add)
	}
}

// webhooks finds addresses that are secrets themselves.
func webhooks(text []byte, from int, add func(from, to int, kind string)) {
	for _, path := range []string{"hooks.slack.com/services/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot"} {
		if !bytes.HasPrefix(text[from:], []byte(path)) {
			continue
		}
		to := from + len(path)
		for to < len(text) && (isTokenByte(text[to]) || text[to] == ':') {
			to++
		}
		add(from+len(path), to, "webhook")
	}
}

// emails finds e-mail addresses.
func emails(text []byte, add func(from, to int, kind string)) {
	for i, c := range text {
		if c != '@' {
			continue
		}
		from, to, dot := i, i+1, false
		for from > 0 && (isAlnum(text[from-1]) || bytes.IndexByte([]byte("._%+-"), text[from-1]) >= 0) {
			from--
		}
		for to < len(text) && (isAlnum(text[to]) || text[to] == '-' || text[to] == '.' && to+1 < len(text) && isAlnum(text[to+1])) {
			dot = dot || text[to] == '.'
			to++
		}
		if from < i && dot {
			add(from, to, "email")
		}
	}
}
