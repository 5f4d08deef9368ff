// All coordinators of a broker, for handlers that ask more than one kind (docs/decisions/0032). The wiring owns them.
#pragma once

namespace weir::broker {

class Broker;
class GroupCoordinators;
class TransactionCoordinators;

struct Coordinators {
  Broker& broker;
  GroupCoordinators& groups;
  TransactionCoordinators& transactions;
};

}  // namespace weir::broker
