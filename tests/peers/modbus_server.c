/* An independent Modbus device on libmodbus, for tests: serves known values, dies with its parent. Without an argument
 * over TCP, and prints its port; with the path of a serial port as unit 1 there (19200 8N1), and prints that.
 *
 * Holding 0..199: register i holds i, but for the floats at 100: 12.5 in ABCD, CDAB, BADC, DCBA (two registers each),
 * and -2.25 as a float64 in ABCD at 108. Input register i holds 1000 + i. Coil i is on when i % 3 == 0, discrete input
 * i when i is odd; 64 of each. Everything past that is exception 2. REGISTERS in the environment makes them more; those
 * past 199 are alike. */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REGISTERS = 200, BITS = 64, ADDRESS_SPACE = 65536 };

/* libmodbus' own modbus_set_float_* is not used: its word orders are what is under test. */
static void put(uint16_t *to, const uint8_t *big_endian, const int *byte_of, int n_bytes) {
  for (int i = 0; i < n_bytes; i += 2)
    to[i / 2] = (uint16_t)(big_endian[byte_of[i]] << 8 | big_endian[byte_of[i + 1]]);
}

static void fill(modbus_mapping_t *map, int registers) {
  static const uint8_t float_12_5[] = {0x41, 0x48, 0x00, 0x00};
  static const uint8_t double_minus_2_25[] = {0xC0, 0x02, 0, 0, 0, 0, 0, 0};
  static const int orders[4][4] = {{0, 1, 2, 3}, {2, 3, 0, 1}, {1, 0, 3, 2}, {3, 2, 1, 0}};
  static const int straight[] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int i = 0; i < registers; i++) {
    map->tab_registers[i] = (uint16_t)i;
    map->tab_input_registers[i] = (uint16_t)(1000 + i);
  }
  for (int i = 0; i < BITS; i++) {
    map->tab_bits[i] = i % 3 == 0;
    map->tab_input_bits[i] = i % 2 == 1;
  }
  for (int i = 0; i < 4; i++) put(map->tab_registers + 100 + 2 * i, float_12_5, orders[i], 4);
  put(map->tab_registers + 108, double_minus_2_25, straight, 8);
}

static int announce_port(int listener) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  if (getsockname(listener, (struct sockaddr *)&address, &size) < 0) return -1;
  printf("%d\n", ntohs(address.sin_port));
  return fflush(stdout);
}

static int serve_one(modbus_t *context, int connection, modbus_mapping_t *map) {
  uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
  modbus_set_socket(context, connection);
  int length = modbus_receive(context, query);
  return length > 0 ? modbus_reply(context, query, length, map) : length;
}

/* Ends at any error but a damaged frame: when the other end of the line is gone, libmodbus would spin. */
static int serve_serial(const char *port, modbus_mapping_t *map) {
  uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
  modbus_t *context = modbus_new_rtu(port, 19200, 'N', 8, 1);
  if (!context || modbus_set_slave(context, 1) < 0 || modbus_connect(context) < 0) return 4;
  printf("%s\n", port);
  fflush(stdout);
  for (;;) {
    int length = modbus_receive(context, query);
    if (length > 0) modbus_reply(context, query, length, map);
    if (length < 0 && errno != EMBBADCRC && errno != ETIMEDOUT) return 5;
  }
}

int main(int n_arguments, char **arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char *wanted = getenv("REGISTERS");
  int registers = wanted ? atoi(wanted) : REGISTERS;
  if (registers < REGISTERS || registers > ADDRESS_SPACE) return 1;
  modbus_mapping_t *map = modbus_mapping_new(BITS, BITS, registers, registers);
  if (!map) return 1;
  fill(map, registers);
  if (n_arguments > 1) return serve_serial(arguments[1], map);
  modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
  if (!context) return 1;
  int listener = modbus_tcp_listen(context, 8), highest = listener;
  if (listener < 0 || announce_port(listener) < 0) return 2;
  fd_set open_sockets;
  FD_ZERO(&open_sockets);
  FD_SET(listener, &open_sockets);
  for (;;) {
    fd_set readable = open_sockets;
    if (select(highest + 1, &readable, NULL, NULL, NULL) < 0) return 3;
    for (int fd = 0; fd <= highest; fd++) {
      if (!FD_ISSET(fd, &readable)) continue;
      if (fd == listener) {
        int connection = modbus_tcp_accept(context, &listener);
        if (connection < 0) continue;
        FD_SET(connection, &open_sockets);
        if (connection > highest) highest = connection;
      } else if (serve_one(context, fd, map) < 0) {
        close(fd);
        FD_CLR(fd, &open_sockets);
      }
    }
  }
}
