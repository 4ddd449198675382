//go:build !linux

package filesend

func mountDisk(string, string) { panic("only Linux has mount namespaces") }
