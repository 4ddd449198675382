package words

// koreanCommands are texts of the command line.
var koreanCommands = []translation{}
