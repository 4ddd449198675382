package handlers

// consoleRoutes are the pages for people.
func (s *Server) consoleRoutes() {}
