package schedule_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"redrive/delivery/batch/schedule"
)

// runsOn are the runs of one local day, in local time with the zone's offset.
func runsOn(t *testing.T, fields, zone, day string) (runs []string) {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schedule.Parse(fields, location)
	if err != nil {
		t.Fatal(err)
	}
	start, err := time.ParseInLocation(time.DateOnly, day, location)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range s.Between(start.Add(-time.Nanosecond), start.AddDate(0, 0, 1).Add(-time.Nanosecond)) {
		runs = append(runs, at.In(location).Format("15:04-07"))
	}
	return runs
}

func TestDaysOf23And25Hours(t *testing.T) {
	for _, tc := range []struct {
		schedule, zone, day string
		want                []string
	}{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28", []string{"02:30+01"}},
		{"30 2 * * *", "Europe/Berlin", "2026-03-29", []string{"03:30+02"}}, // 02:30 does not exist
		{"30 2 * * *", "Europe/Berlin", "2026-10-25", []string{"02:30+02"}}, // 02:30 comes twice
		{"30 2 * * *", "America/New_York", "2026-03-08", []string{"03:30-04"}},
		{"30 2 * * *", "America/New_York", "2026-11-01", []string{"02:30-05"}}, // there it is 01:30 that comes twice
		{"30 1 * * *", "America/New_York", "2026-11-01", []string{"01:30-04"}},
		{"10,35 2 * * *", "Australia/Lord_Howe", "2026-10-04", []string{"02:35+11", "02:40+11"}}, // half an hour is missing
		{"0 9 * * *", "Asia/Seoul", "2026-03-29", []string{"09:00+09"}},
		{"0 0 29 2 *", "Asia/Seoul", "2028-02-29", []string{"00:00+09"}},
	} {
		if got := runsOn(t, tc.schedule, tc.zone, tc.day); !slices.Equal(got, tc.want) {
			t.Errorf("%s in %s on %s: %v, want %v", tc.schedule, tc.zone, tc.day, got, tc.want)
		}
	}
}

func TestHourlyRunsOncePerLocalHour(t *testing.T) {
	for _, tc := range []struct {
		zone, day string
		want      int
	}{
		{"Europe/Berlin", "2026-03-28", 24}, {"Europe/Berlin", "2026-03-29", 23}, {"Europe/Berlin", "2026-10-25", 24},
		{"America/New_York", "2026-03-08", 23}, {"America/New_York", "2026-11-01", 24},
	} {
		got := runsOn(t, "0 * * * *", tc.zone, tc.day)
		local := map[string]bool{}
		for _, run := range got {
			local[run[:5]] = true
		}
		if len(got) != tc.want || len(local) != len(got) {
			t.Errorf("%s on %s: %v", tc.zone, tc.day, got)
		}
	}
}

// The days of a week in which a field lets a batch run; 1 November 2026 is a Sunday.
func TestWeekdaysAsInACrontab(t *testing.T) {
	for field, want := range map[string]string{
		"0": "0", "7": "0", "sun": "0", "Sun": "0", "1": "1", "sat": "6", "5-7": "056", "fri-sun": "056", "mon-sun": "0123456", "1-7": "0123456", "0-7": "0123456",
		"0-6": "0123456", "sun-sat": "0123456", "mon-fri": "12345", "1,7": "01", "mon,sun": "01", "6-7,3": "036", "1-7/2": "0135", "0-6/2": "0246", "7-7": "0",
		"sun-mon": "01", "7/2": "0", "4/2": "46", "*": "0123456", "*/3": "036", "?": "0123456", "sat-sun": "06",
	} {
		s, err := schedule.Parse("0 12 * * "+field, time.UTC)
		if err != nil {
			t.Errorf("%s: %v", field, err)
			continue
		}
		first, got := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), ""
		for _, at := range s.Between(first, first.AddDate(0, 0, 7)) {
			got += strconv.Itoa(int(at.Weekday()))
		}
		if got != want {
			t.Errorf("%s: runs on %s, want %s", field, got, want)
		}
	}
	for _, field := range []string{"8", "5-8", "07", "sat-mon", "6-1", "sunday", "-1", "1-", "1/0", "1/x", "1-2-3", "", "5-7/0", "7-3"} {
		if _, err := schedule.Parse("0 12 * * "+field, time.UTC); err == nil {
			t.Errorf("%q was taken for days", field)
		}
	}
}

func TestSchedulesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "* * * *", "* * * * * *", "@every 1h", "0 0 31 2 *", "61 * * * *", "TZ=UTC * * * * *"} {
		if s, err := schedule.Parse(text, time.UTC); err == nil {
			t.Errorf("%q was taken for a schedule: %v", text, s)
		}
	}
}
