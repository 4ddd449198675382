package format_test

import (
	"io"
	"runtime"
	"testing"
	"unicode"

	"redrive/delivery"
	"redrive/delivery/batch/format"
)

// korea holds the syllables that code page 949 has: all of them.
var korea = unicode.RangeTable{R16: []unicode.Range16{{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}}}

// ledger is a row as a day of points has them.
func ledger() ([]format.Column, [][]byte) {
	return columns("ntnbzt"), cells([]string{"1234567", "seller-push", "-1250.75", "t", "2026-01-31 12:00:00.123456+00", "주문 적립, 첫 구매"})
}

var specs = map[string]delivery.FileFormat{
	"csv":        {Kind: delivery.FileCSV, Header: true},
	"csv guard":  {Kind: delivery.FileCSV, Guard: true},
	"csv euc-kr": {Kind: delivery.FileCSV, Encoding: delivery.EncodingEUCKR},
	"csv gzip":   {Kind: delivery.FileCSV, Gzip: true},
	"kv":         {Kind: delivery.FileKV},
	"json":       {Kind: delivery.FileJSON},
	"json array": {Kind: delivery.FileJSON, Array: true},
}

func TestARowAllocatesNothing(t *testing.T) {
	cols, row := ledger()
	for name, spec := range specs {
		w, err := format.New(io.Discard, spec, cols)
		if err != nil || w.Sum("c") != nil {
			t.Fatal(err)
		}
		if allocations := testing.AllocsPerRun(5000, func() { err = w.Write(row) }); allocations > 0 || err != nil {
			t.Errorf("%s: %v allocations for a row, %v", name, allocations, err)
		}
	}
}

// TestMemoryIsBounded: what a million rows leave behind is the buffer of one.
func TestMemoryIsBounded(t *testing.T) {
	cols, row := ledger()
	long := append([][]byte(nil), row...)
	long[5] = make([]byte, 8<<20)
	for i := range long[5] {
		long[5][i] = 'x'
	}
	w, err := format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV}, cols)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	if err = w.Write(long); err == nil {
		for range 1_000_000 {
			err = w.Write(row)
		}
	}
	if after := heap(); err != nil || after > before+1<<20 {
		t.Errorf("%d bytes of heap before, %d after: %v", before, after, err)
	}
	runtime.KeepAlive(w)
	runtime.KeepAlive(long)
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func BenchmarkWrite(b *testing.B) {
	cols, row := ledger()
	for name, spec := range specs {
		b.Run(name, func(b *testing.B) {
			w, err := format.New(io.Discard, spec, cols)
			if err != nil || w.Sum("c") != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Write(row); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
