package patterntest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// PlantedSecret is a line with a secret in it.
type PlantedSecret struct {
	Kind   string
	Line   string
	Secret string
}

// In tells whether the secret, or half of it, is in text.
func (p PlantedSecret) In(text []byte) bool {
	half := len(p.Secret) / 2
	return bytes.Contains(text, []byte(p.Secret)) || len(p.Secret) >= 12 &&
		(bytes.Contains(text, []byte(p.Secret[:half])) || bytes.Contains(text, []byte(p.Secret[half:])))
}

const (
	digits   = "0123456789"
	lower    = "abcdefghijklmnopqrstuvwxyz"
	upper    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphabet = lower + upper + digits
)

func random(r *rand.Rand, n int, from string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(from[r.IntN(len(from))])
	}
	return b.String()
}

// secrets make a secret with the words it stands in; %s is where it stands.
var secrets = []struct {
	kind, around string
	make         func(r *rand.Rand) string
}{
	{"bearer", "Authorization: Bearer %s", func(r *rand.Rand) string { return random(r, 40, alphabet) }},
	{"bearer", "calling with bearer %s now", func(r *rand.Rand) string { return random(r, 32, alphabet) + "7" }},
	{"basic", `"authorization":"Basic %s"`, func(r *rand.Rand) string {
		return base64.StdEncoding.EncodeToString([]byte("admin:" + random(r, 14, alphabet)))
	}},
	{"jwt", "token %s accepted", func(r *rand.Rand) string {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return part(`{"alg":"HS256","typ":"JWT"}`) + "." + part(`{"sub":"`+random(r, 9, digits)+`"}`) + "." + random(r, 43, alphabet)
	}},
	{"aws key", "assumed role with %s", func(r *rand.Rand) string { return "AKIA" + random(r, 16, upper+"234567") }},
	{"aws secret", "aws_secret_access_key = %s", func(r *rand.Rand) string { return random(r, 40, alphabet+"/+") }},
	{"aws secret alone", "loaded %s from the metadata service", func(r *rand.Rand) string { return random(r, 40, alphabet) }},
	{"google", "https://maps.googleapis.com/api?key=%s&q=x", func(r *rand.Rand) string { return "AIza" + random(r, 35, alphabet+"_-") }},
	{"azure", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=%s;EndpointSuffix=core.windows.net", func(r *rand.Rand) string {
		return random(r, 86, alphabet+"/+") + "=="
	}},
	{"github", "cloning with %s", func(r *rand.Rand) string { return "ghp_" + random(r, 36, alphabet) }},
	{"github fine", "PAT %s expires soon", func(r *rand.Rand) string {
		return "github_pat_" + random(r, 22, alphabet) + "_" + random(r, 59, alphabet)
	}},
	{"gitlab", "PRIVATE-TOKEN: %s", func(r *rand.Rand) string { return "glpat-" + random(r, 20, alphabet+"_-") }},
	{"stripe", "charging with %s", func(r *rand.Rand) string { return "sk_live_" + random(r, 24, alphabet) }},
	{"slack", "posting as %s", func(r *rand.Rand) string {
		return "xoxb-" + random(r, 12, digits) + "-" + random(r, 12, digits) + "-" + random(r, 24, alphabet)
	}},
	{"slack hook", "POST https://hooks.slack.com/services/%s failed", func(r *rand.Rand) string {
		return "T" + random(r, 8, upper) + "/B" + random(r, 8, upper) + "/" + random(r, 24, alphabet)
	}},
	{"sendgrid", "mailer uses %s", func(r *rand.Rand) string { return "SG." + random(r, 22, alphabet) + "." + random(r, 43, alphabet) }},
	{"npm", "//npm.example.com/:_authToken=%s", func(r *rand.Rand) string { return "npm_" + random(r, 36, alphabet) }},
	{"vault", "renewed %s for 768h", func(r *rand.Rand) string { return "hvs." + random(r, 90, alphabet) }},
	{"url", "dial postgres://shop:%s@db:5432/shop: timeout", func(r *rand.Rand) string { return random(r, 14, alphabet+"!$*") }},
	{"password", "db_password=%s user=shop", func(r *rand.Rand) string { return random(r, 12, alphabet+"!#%") }},
	{"password json", `{"user":"bob","password":"%s","n":1}`, func(r *rand.Rand) string { return random(r, 12, alphabet+" !#%") }},
	{"password yaml", "DB_PASSWORD: %s", func(r *rand.Rand) string { return random(r, 10, lower) }},
	{"client secret", "clientSecret=%s&scope=all", func(r *rand.Rand) string { return random(r, 20, alphabet+"~") }},
	{"api key", "x-api-key: %s", func(r *rand.Rand) string { return random(r, 32, "0123456789abcdef") }},
	{"query token", "GET /feed?access_token=%s HTTP/1.1", func(r *rand.Rand) string { return random(r, 24, alphabet) }},
	{"cookie", "Cookie: session=%s; theme=dark", func(r *rand.Rand) string { return random(r, 26, alphabet) }},
	{"set-cookie", `"set-cookie":"sid=%s; HttpOnly"`, func(r *rand.Rand) string { return random(r, 26, alphabet) }},
	{"card", "charged card %s for 12.50", func(r *rand.Rand) string { return card(r, "4", 16, "") }},
	{"card in groups", "card number %s declined", func(r *rand.Rand) string { return card(r, "53", 16, " ") }},
	{"private key", "key is -----BEGIN RSA PRIVATE KEY-----%s-----END RSA PRIVATE KEY----- indeed", func(r *rand.Rand) string { return random(r, 300, alphabet+"+/") }},
	{"cut key", "key is -----BEGIN PRIVATE KEY-----%s", func(r *rand.Rand) string { return random(r, 200, alphabet+"+/") }},
}

// card is a number with the right check digit, in groups of four with mark between.
func card(r *rand.Rand, prefix string, n int, mark string) string {
	number := prefix + random(r, n-len(prefix)-1, digits)
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	number += fmt.Sprint((10 - sum%10) % 10)
	var groups []string
	for i := 0; i < n; i += 4 {
		groups = append(groups, number[i:i+4])
	}
	return strings.Join(groups, mark)
}

// Planted is n lines with a secret in each, in the middle of ordinary words.
func Planted(seed uint64, n int) []PlantedSecret {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([]PlantedSecret, n)
	for i := range out {
		s := secrets[i%len(secrets)]
		secret := s.make(r)
		line := fmt.Sprintf(s.around, secret)
		if before := pick(r, "", "2026-03-02T10:15:00Z INFO ", "worker 3: ", "[http] "); !strings.HasPrefix(line, "{") {
			line = before + line
		}
		out[i] = PlantedSecret{Kind: s.kind, Line: line, Secret: secret}
	}
	return out
}

// Distinct is the i-th of messages of which each is a template of its own.
func Distinct(i int) []byte {
	w := func(n int) string {
		n *= 40503 // apart from its neighbours
		return syllables[n%16] + syllables[n/16%16] + syllables[n/256%16] + syllables[n/4096%16]
	}
	return fmt.Appendf(nil, "%s %s: %s %s %s 12 ms 10.0.0.1", w(i), w(i), w(i), w(i), w(i))
}

var syllables = [16]string{"ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "ze"}
