package embedded

import "path/filepath"

// What starts other programs to install Postgres.
var (
	RunApt   = runApt
	Download = download

	NpmIntegrity = npmIntegrity
)

// NpmPackageDir is where npm puts the package.
func NpmPackageDir(dir string) string { return filepath.Join(npmBin(dir), "..", "..") }
