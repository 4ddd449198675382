package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The cron library knows Sunday as 0 only, and as the first day of a range only. In a crontab it is 7 as well, so that 5-7 and
// mon-sun are ranges.

const sunday, lastDay = 0, 7

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// weekdays writes the fifth field in the library's terms; what it does not understand stays for the library to refuse.
func weekdays(text string) (string, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return text, nil
	}
	parts := strings.Split(fields[4], ",")
	for i, part := range parts {
		days, err := daysOf(part)
		if err != nil {
			return "", err
		}
		if days != "" {
			parts[i] = days
		}
	}
	fields[4] = strings.Join(parts, ",")
	return strings.Join(fields, " "), nil
}

// daysOf lists the days of one part: a day, a range, or one of these with a step. Nothing: the part is of another form.
func daysOf(part string) (string, error) {
	span, stepText, stepped := strings.Cut(part, "/")
	firstText, lastText, ranged := strings.Cut(span, "-")
	first, ok := day(firstText)
	last, step := first, 1
	if ranged {
		var known bool
		last, known = day(lastText)
		ok = ok && known
		if last == sunday && first > sunday {
			last = lastDay
		}
	} else if stepped {
		last = lastDay - 1 // as the library has it: to the end of the week
	}
	if stepped {
		var err error
		step, err = strconv.Atoi(stepText)
		ok = ok && err == nil && step > 0
	}
	switch {
	case !ok:
		return "", nil
	case ranged && first > last:
		return "", fmt.Errorf("%s ends before it begins", part)
	}
	var days []string
	for d := first; d <= max(first, last); d += step {
		if text := strconv.Itoa(d % lastDay); !slices.Contains(days, text) {
			days = append(days, text)
		}
	}
	return strings.Join(days, ","), nil
}

// day reads a name or a number from 0 to 7.
func day(text string) (int, bool) {
	if i := slices.Index(dayNames, strings.ToLower(text)); i >= 0 {
		return i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= sunday && n <= lastDay && len(text) == 1
}
