package localec2

import (
	"strings"
	"testing"
	"time"
)

func TestWildcards(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "A", false},
		{"*", "", true},
		{"a*c", "abbc", true},
		{"a*c", "abbcd", false},
		{"*b*", "abc", true},
		{"?", "", false},
		{"?", "ä", true},
		{"a??", "abc", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`\\`, `\`, true},
		{`a\`, `a\`, true},
		{"*a*b", "aab", true},
		{"**", "x", true},
		{"a**", "a", true},
		{"a*?", "a", false},
		{`*\*`, "a*", true},
		{`*\*`, "a", false},
		{`\**`, "*a", true},
		{`\?`, "a", false},
	} {
		if got := compile(tc.pattern).matches(tc.text); got != tc.want {
			t.Errorf("%q against %q: %v", tc.pattern, tc.text, got)
		}
	}
	// A hostile pattern must not take exponential time.
	compile(strings.Repeat("a*", 1000) + "b").matches(strings.Repeat("a", 10000))
}

func TestJavaDouble(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]float64{
		"0.0": 0, "512.0": 512, "1.5": 1.5, "9999999.0": 9999999, "1.0E7": 1e7, "3.115815424E9": 3115815424, "1.073741824E10": 10737418240,
		"8.1905664E8": 819056640, "1.0E-4": 1e-4, "1.0E100": 1e100,
	} {
		if got := javaDouble(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}

func TestVolumeSizeIsRoundedUp(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int64{1: 1, 512: 1, 1 << 30: 1, 1<<30 + 1: 2, 127 << 30: 127, 127<<30 + 512: 128} {
		if got := (snapshot{Size: size}).volumeSize(); got != want {
			t.Errorf("%d bytes: %d GiB, want %d", size, got, want)
		}
	}
}

// TestKMSForms is P3: whatever names a key, results carry the key's ARN.
func TestKMSForms(t *testing.T) {
	t.Parallel()
	s := scope{testAccount, "us-east-1"}
	arn := func(key string) string {
		t.Helper()
		got, err := s.kmsKeyARN(key)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const id, prefix = "abcd1234-a123-456a-a12b-a123b4cd56ef", "arn:aws:kms:us-east-1:123456789012:"
	for _, key := range []string{id, "mrk-0123456789abcdef0123456789abcdef"} {
		if arn(key) != prefix+"key/"+key || arn(prefix+"key/"+key) != prefix+"key/"+key {
			t.Errorf("%s: %s", key, arn(key))
		}
	}
	if arn("alias/a") != arn(prefix+"alias/a") || arn("alias/a") == arn("alias/b") || !strings.HasPrefix(arn("alias/a"), prefix+"key/") {
		t.Errorf("alias: %s, %s", arn("alias/a"), arn(prefix+"alias/a"))
	}
	china, err := scope{testAccount, "cn-north-1"}.kmsKeyARN("alias/a")
	if err != nil || !strings.HasPrefix(china, "arn:aws-cn:kms:cn-north-1:") {
		t.Errorf("in China: %s, %v", china, err)
	}
}

func TestTieringByTheClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	archived := tiering{Operation: operationArchival, Before: tierStandard, Start: start, ArchivedAt: start.Add(tieringTime)}
	restored := tiering{Operation: operationTemporary, Before: tierArchive, Start: start, RestoreDays: 2}
	for _, tc := range []struct {
		name         string
		tiering      tiering
		after        time.Duration
		tier, status string
		expires      bool
	}{
		{"never moved", tiering{}, 0, "standard", "", false},
		{"archival begun", archived, 0, "standard", "archival-in-progress", false},
		{"archival done", archived, tieringTime, "archive", "archival-completed", false},
		{"restore begun", restored, 0, "archive", "temporary-restore-in-progress", false},
		{"restore done", restored, tieringTime, "standard", "temporary-restore-completed", true},
		{"restore about to expire", restored, 48*time.Hour - 1, "standard", "temporary-restore-completed", true},
		{"restore expired", restored, 48 * time.Hour, "archive", "temporary-restore-completed", false},
	} {
		got := tc.tiering.at(start.Add(tc.after))
		if got.StorageTier != tc.tier || got.OperationStatus != tc.status || got.RestoreExpiry.IsZero() == tc.expires {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	// A move that begins while another is under way starts from where that one leads.
	archived.begin(operationPermanent, start, 0)
	if got := archived.at(start); got.StorageTier != tierArchive {
		t.Errorf("restore during the archival: %+v", got)
	}
}

func TestRoles(t *testing.T) {
	arn := "arn:aws:iam::123456789012:role/"
	for name, want := range map[string]bool{
		"vmimport": true, "a+=,.@-_B9": true, strings.Repeat("r", 64): true, arn + "a/path/vmimport": true, arn + strings.Repeat("r", 512): true,
		"": false, "a role": false, "a/b": false, strings.Repeat("r", 65): false, arn: false, arn + strings.Repeat("r", 513): false,
		"arn:aws:iam::1234:role/vmimport": false, "arn:aws:iam::123456789012:user/vmimport": false,
	} {
		if isRole(name) != want {
			t.Errorf("isRole(%q) = %v", name, !want)
		}
	}
	s := scope{Account: "123456789012", Region: "eu-central-1"}
	for alias, want := range map[string]bool{"alias/" + strings.Repeat("a", 250): true, "alias/" + strings.Repeat("a", 251): false, "alias/": false} {
		if arn, err := s.kmsKeyARN(alias); (err == nil) != want {
			t.Errorf("an alias of %d characters: %s, %v", len(alias), arn, err)
		}
	}
}
